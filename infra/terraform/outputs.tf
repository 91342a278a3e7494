locals {
  # The class of storage-class.yaml: there is no default one.
  volumes = {
    router = { spool = { storageClass = "streamsync" } }
    worker = { volume = { storageClass = "streamsync" } }
  }
}

output "bucket_url" {
  description = "The lake, for `bucket.url`."
  value       = "s3://${aws_s3_bucket.lake.bucket}"
}

output "notifications" {
  description = "The queue that hears of commits, for `bucket.notifications`."
  value       = aws_sqs_queue.commits.url
}

output "redis_url" {
  description = "Redis, with its password, for the secret `streamsync-redis`."
  value       = "rediss://:${var.redis_auth_token}@${aws_elasticache_replication_group.redis.primary_endpoint_address}:6379"
  sensitive   = true
}

output "cluster_name" {
  description = "For `aws eks update-kubeconfig --name`."
  value       = aws_eks_cluster.main.name
}

output "values" {
  description = "What the Helm chart has to know, as a file of values."
  value = yamlencode(merge(
    {
      config = {
        bucket = {
          url           = "s3://${aws_s3_bucket.lake.bucket}"
          region        = data.aws_region.current.region
          notifications = aws_sqs_queue.commits.url
        }
      }
    },
    {
      # The name server of EKS Auto Mode is on the node and no pod.
      networkPolicy = { dns = [] }
    },
    {
      for role, identity in aws_iam_role.role : role => merge(
        { serviceAccount = { annotations = { "eks.amazonaws.com/role-arn" = identity.arn } } },
        try(local.volumes[role], {}),
      )
    },
  ))
}
