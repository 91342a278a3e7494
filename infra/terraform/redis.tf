# What is in flight: heartbeats, credit, receipts until they are settled. Nothing may be evicted, and a
# replica in another zone takes over.

resource "aws_security_group" "redis" {
  name_prefix = "${var.name}-redis-"
  description = "Redis, from the nodes of the cluster"
  vpc_id      = aws_vpc.main.id
  tags        = merge(var.tags, { Name = "${var.name}-redis" })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "redis" {
  description                  = "The nodes of the cluster"
  security_group_id            = aws_security_group.redis.id
  referenced_security_group_id = aws_eks_cluster.main.vpc_config[0].cluster_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
}

resource "aws_elasticache_subnet_group" "redis" {
  name        = var.name
  description = "Redis of ${var.name}"
  subnet_ids  = [for subnet in aws_subnet.private : subnet.id]
  tags        = var.tags
}

resource "aws_elasticache_parameter_group" "redis" {
  name        = "${var.name}-valkey8"
  family      = "valkey8"
  description = "Redis of ${var.name}: refuses writes when it is full, and forgets nothing"
  tags        = var.tags

  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }
}

resource "aws_elasticache_replication_group" "redis" {
  replication_group_id       = var.name
  description                = "Redis of ${var.name}"
  engine                     = "valkey"
  engine_version             = "8.1"
  node_type                  = var.redis_node_type
  num_cache_clusters         = 1 + var.redis_replicas
  automatic_failover_enabled = true
  multi_az_enabled           = true
  parameter_group_name       = aws_elasticache_parameter_group.redis.name
  subnet_group_name          = aws_elasticache_subnet_group.redis.name
  security_group_ids         = [aws_security_group.redis.id]
  at_rest_encryption_enabled = true
  transit_encryption_enabled = true
  auth_token                 = var.redis_auth_token
  auth_token_update_strategy = "ROTATE"
  snapshot_retention_limit   = 7
  final_snapshot_identifier  = "${var.name}-final"
  auto_minor_version_upgrade = true
  tags                       = var.tags
}
