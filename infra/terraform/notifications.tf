# Tells routers of new versions of tables. A message only says "look": what is late or lost is found by
# polling, so none is kept for long and none goes to another queue.

resource "aws_sqs_queue" "commits" {
  name                       = "${var.name}-commits"
  message_retention_seconds  = 300
  receive_wait_time_seconds  = 20
  visibility_timeout_seconds = 30
  sqs_managed_sse_enabled    = true
  tags                       = var.tags
}

data "aws_iam_policy_document" "commits" {
  statement {
    sid       = "FromTheBucket"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.commits.arn]

    principals {
      type        = "Service"
      identifiers = ["s3.amazonaws.com"]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [aws_s3_bucket.lake.arn]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }

  statement {
    sid       = "OnlyWithTls"
    effect    = "Deny"
    actions   = ["sqs:*"]
    resources = [aws_sqs_queue.commits.arn]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_sqs_queue_policy" "commits" {
  queue_url = aws_sqs_queue.commits.id
  policy    = data.aws_iam_policy_document.commits.json
}

resource "aws_s3_bucket_notification" "commits" {
  bucket = aws_s3_bucket.lake.id

  # Commits are <table>/_delta_log/<version>.json, and little else in the bucket ends so.
  queue {
    id            = "commits"
    queue_arn     = aws_sqs_queue.commits.arn
    events        = ["s3:ObjectCreated:*"]
    filter_suffix = ".json"
  }

  depends_on = [aws_sqs_queue_policy.commits]
}
