# One role of IAM for each role of StreamSync, which its service account takes on, and which may do what
# that one does with the bucket and nothing else.

locals {
  issuer = aws_eks_cluster.main.identity[0].oidc[0].issuer
  roles  = toset(["router", "worker", "compactor", "settlement", "ingest"])
  lake   = aws_s3_bucket.lake.arn

  # As the chart calls what belongs to a release.
  whole    = strcontains(var.release, "streamsync") ? var.release : "${var.release}-streamsync"
  fullname = trimsuffix(substr(local.whole, 0, 40), "-")

  # Where a role writes, and takes back what it could not commit.
  writes = {
    router     = ["evidence/*", "admin_log/*", "backups/*", "doctor/*"]
    compactor  = ["*"]
    settlement = ["receipts/*", "settlements/*"]
    ingest     = ["*"]
  }

  # Batches and accusations are what was decided, and backups what is left when Redis is lost. Who writes
  # everywhere else leaves these alone.
  decided = ["settlements/batch-*", "slashing/*", "backups/*"]

  # What clients and operators did is not for workers, which run what clients say.
  private = ["receipts/*", "admin_log/*", "backups/*"]
}

resource "aws_iam_openid_connect_provider" "cluster" {
  url            = local.issuer
  client_id_list = ["sts.amazonaws.com"]
  tags           = var.tags
}

data "aws_iam_policy_document" "assume" {
  for_each = local.roles

  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [aws_iam_openid_connect_provider.cluster.arn]
    }

    condition {
      test     = "StringEquals"
      variable = "${trimprefix(local.issuer, "https://")}:sub"
      values   = ["system:serviceaccount:${var.namespace}:${local.fullname}-${each.key}"]
    }

    condition {
      test     = "StringEquals"
      variable = "${trimprefix(local.issuer, "https://")}:aud"
      values   = ["sts.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "role" {
  for_each = local.roles

  # Reading a Delta table is listing its log and getting objects.
  statement {
    sid       = "List"
    actions   = ["s3:ListBucket"]
    resources = [local.lake]
  }

  statement {
    sid       = "Read"
    actions   = ["s3:GetObject"]
    resources = ["${local.lake}/*"]
  }

  dynamic "statement" {
    for_each = contains(keys(local.writes), each.key) ? [local.writes[each.key]] : []

    content {
      sid       = "Write"
      actions   = ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
      resources = [for path in statement.value : "${local.lake}/${path}"]
    }
  }

  dynamic "statement" {
    for_each = contains(["compactor", "ingest"], each.key) ? [local.decided] : []

    content {
      sid       = "LeaveDecided"
      effect    = "Deny"
      actions   = ["s3:PutObject", "s3:DeleteObject"]
      resources = [for path in statement.value : "${local.lake}/${path}"]
    }
  }

  dynamic "statement" {
    for_each = each.key == "worker" ? [local.private] : []

    content {
      sid       = "LeavePrivate"
      effect    = "Deny"
      actions   = ["s3:GetObject"]
      resources = [for path in statement.value : "${local.lake}/${path}"]
    }
  }

  dynamic "statement" {
    for_each = each.key == "router" ? [aws_sqs_queue.commits.arn] : []

    content {
      sid       = "Listen"
      actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage"]
      resources = [statement.value]
    }
  }
}

resource "aws_iam_role" "role" {
  for_each = local.roles

  name               = "${var.name}-${each.key}"
  description        = "StreamSync's ${each.key}"
  assume_role_policy = data.aws_iam_policy_document.assume[each.key].json
  tags               = var.tags
}

resource "aws_iam_role_policy" "role" {
  for_each = local.roles

  name   = "lake"
  role   = aws_iam_role.role[each.key].id
  policy = data.aws_iam_policy_document.role[each.key].json
}
