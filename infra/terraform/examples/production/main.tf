# StreamSync in three zones. The state holds Redis' password: it is kept encrypted, in a bucket that is
# named when Terraform is initialised.
#
#   terraform init -backend-config=bucket=example-terraform-state -backend-config=key=streamsync \
#       -backend-config=region=eu-central-1
#   TF_VAR_redis_auth_token=$(openssl rand -hex 32) terraform apply

terraform {
  required_version = ">= 1.9"

  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.25"
    }
  }
}

provider "aws" {
  region = "eu-central-1"
}

variable "redis_auth_token" {
  description = "The password of Redis."
  type        = string
  sensitive   = true
}

module "streamsync" {
  source = "../.."

  name             = "example-streamsync"
  administrators   = ["arn:aws:iam::123456789012:role/administrator"]
  api_cidrs        = ["198.51.100.0/24"]
  redis_auth_token = var.redis_auth_token
  tags             = { project = "streamsync" }
}

output "values" {
  description = "What the Helm chart has to know: terraform output -raw values > values.yaml"
  value       = module.streamsync.values
}

output "redis_url" {
  description = "For the secret streamsync-redis."
  value       = module.streamsync.redis_url
  sensitive   = true
}
