-- What an account holds. KEYS: the account, the lessees.
reap(KEYS[1], KEYS[2])
return redis.call('HGETALL', KEYS[1])
