//! From two signed answers to a slash on the chain.

use crate::{
    following::{beat, chain, keypair, stake},
    network::TestNetwork,
};
use solana_signer::Signer;
use std::time::Duration;
use streamsync_core::{
    Amount, Identity, OperatorGrant, Outcome, Query, QueryId, SignedAnswer, WorkerId,
    clock::ManualClock,
};
use streamsync_registry::{Evidence, Offence};
use streamsync_settlement::{
    Wallet,
    slash::{SlashError, Slashed, execute, propose},
};
use streamsync_testing::Suite;

const STRM: u64 = Amount::STRM.0;

pub fn add_to(suite: &mut Suite) {
    suite.test("who signed a wrong answer pays for it once", slashed);
    suite.test("what proves nothing costs nothing", unproven);
}

fn query(number: u8) -> Query {
    Query {
        id: QueryId::new(&ManualClock::at(1), [number; 10]),
        sql: "SELECT 1".to_owned(),
        parameters: Vec::new(),
        snapshot: "blocks@3".parse().unwrap(),
        partitions: Vec::new(),
        constraints: Default::default(),
        ordered: false,
        time_left_ms: 1,
        max_rows: 1,
        max_bytes: 1,
    }
}

fn answer(worker: u8, query: &Query, digest: u8) -> SignedAnswer {
    let digest = format!("{digest:02x}").repeat(32).parse().unwrap();
    let outcome = Outcome::Rows { digest, rows: 1 };
    let identity = Identity::from_seed([worker; 32]);
    SignedAnswer::new(&identity, query.id, query.snapshot.clone(), outcome)
}

fn id(worker: u8) -> WorkerId {
    Identity::from_seed([worker; 32]).id()
}

/// Evidence against worker 70: what workers signed, by the digest.
fn evidence(number: u8, answers: &[(u8, u8)]) -> Evidence {
    let query = query(number);
    Evidence {
        answers: answers
            .iter()
            .map(|(worker, digest)| answer(*worker, &query, *digest))
            .collect(),
        query,
        accused: [(id(70), Offence::WrongAnswer)].into(),
        at_ms: 5,
    }
}

async fn slashed() {
    let mut network = TestNetwork::start("slashed").await;
    let registry = network.registry.clone();
    stake(&mut network, 50, 20_000 * STRM).await;
    beat(&registry, 70, Some(50)).await;
    let evidence = evidence(1, &[(70, 9), (71, 1), (72, 1)]);
    let query = evidence.query.id;
    let hour = Duration::from_secs(3_600);
    assert!(registry.convict(&evidence, hour).await.unwrap());

    let grant = Some(OperatorGrant::new(&Identity::from_seed([50; 32]), id(70)));
    let lake = network.lake.clone();
    let slasher = Wallet::new(
        chain(&network).await,
        network.bank.slasher.insecure_clone(),
        &network.config(),
    );
    let try_it = async |amount| execute(&slasher, &lake, query, id(70), Amount(amount)).await;
    assert!(matches!(
        try_it(STRM).await,
        Err(SlashError::NotProposed { .. })
    ));
    let proposed = propose(&lake, &registry, query, id(70), grant.clone()).await;
    let (accusation, hash) = proposed.unwrap();
    assert_eq!(accusation.operator(), keypair(50).pubkey());
    // Proposed again, it is the same one; whatever is said then of its operator.
    let again = propose(&lake, &registry, query, id(70), None)
        .await
        .unwrap();
    assert_eq!(again, (accusation, hash));

    let stranger = Wallet::new(chain(&network).await, keypair(50), &network.config());
    let not_theirs = execute(&stranger, &lake, query, id(70), Amount(STRM)).await;
    assert!(matches!(not_theirs, Err(SlashError::NotSlasher { .. })));
    for amount in [0, 2_000 * STRM + 1] {
        let refused = try_it(amount).await;
        let most = Amount(2_000 * STRM);
        assert!(matches!(refused, Err(SlashError::TooMuch { most: found, .. }) if found == most));
    }
    let done = try_it(2_000 * STRM).await.unwrap();
    assert!(matches!(done, Slashed::Now { amount, .. } if amount == Amount(2_000 * STRM)));
    assert_eq!(try_it(2_000 * STRM).await.unwrap(), Slashed::Before);
    let operator = chain(&network)
        .await
        .operators(&[keypair(50).pubkey()])
        .await
        .unwrap();
    assert_eq!(
        (operator[0].stake, operator[0].slashed),
        (18_000 * STRM, 2_000 * STRM)
    );
    let treasury = network.bank.address.tokens(&network.bank.terms.treasury);
    assert_eq!(network.bank.balance(treasury).await, 2_000 * STRM);
    let address = network.bank.address.evidence(&keypair(50).pubkey(), &hash);
    let kept: strm::state::Evidence = network.bank.read(address).await;
    assert_eq!((kept.hash, kept.amount), (hash, 2_000 * STRM));
}

async fn unproven() {
    let network = TestNetwork::start("unproven").await;
    let registry = network.registry.clone();
    let hour = Duration::from_secs(3_600);
    let mut dishonest = evidence(1, &[(70, 9), (71, 1), (72, 1)]);
    dishonest.accused = [(id(70), Offence::Dishonest)].into();
    let mut forged = evidence(2, &[(70, 9), (71, 1), (72, 1)]);
    forged.answers[1].outcome = forged.answers[0].outcome;
    let other_query = Evidence {
        answers: evidence(9, &[(70, 9)]).answers,
        ..evidence(3, &[(71, 1), (72, 1)])
    };
    let cases = [
        dishonest,
        forged,
        other_query,
        evidence(4, &[(71, 1), (72, 1)]),
        evidence(5, &[(70, 9), (71, 1)]),
        evidence(6, &[(70, 9), (71, 1), (72, 2)]),
        evidence(7, &[(70, 9), (71, 1), (72, 1), (73, 9)]),
        // One worker many times is one worker.
        evidence(8, &[(70, 9), (71, 1), (71, 1), (71, 1)]),
    ];
    for evidence in cases {
        assert!(registry.convict(&evidence, hour).await.unwrap());
        let query = evidence.query.id;
        let proposed = propose(&network.lake, &registry, query, id(70), None).await;
        let error = proposed.expect_err("proves nothing");
        assert!(matches!(error, SlashError::NotProven { .. }), "{error}");
    }
    // Somebody else's signature for the worker, and no evidence at all.
    let good = evidence(10, &[(70, 9), (71, 1), (72, 1)]);
    assert!(registry.convict(&good, hour).await.unwrap());
    let grant = OperatorGrant::new(&Identity::from_seed([50; 32]), id(71));
    let propose = async |number, grant| {
        let query = query(number).id;
        let proposed = propose(&network.lake, &registry, query, id(70), grant);
        proposed.await.map(drop)
    };
    let foreign = propose(10, Some(grant)).await;
    assert!(matches!(foreign, Err(SlashError::NotProven { .. })));
    assert!(matches!(
        propose(11, None).await,
        Err(SlashError::NoEvidence { .. })
    ));
    propose(10, None).await.unwrap();
}
