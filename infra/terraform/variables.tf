variable "name" {
  description = "What everything is called, and the bucket begins with."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,27}$", var.name))
    error_message = "The name has 3 to 28 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
  default     = {}
}

variable "vpc_cidr" {
  description = "The addresses of the network. Each zone gets two subnets, of a sixteenth of it each."
  type        = string
  default     = "10.40.0.0/16"

  validation {
    condition     = can(cidrhost(var.vpc_cidr, 0)) && try(tonumber(split("/", var.vpc_cidr)[1]) <= 20, false)
    error_message = "The network is an IPv4 range in CIDR notation, a /20 or larger."
  }
}

variable "zones" {
  description = "How many availability zones are used."
  type        = number
  default     = 3

  validation {
    condition     = var.zones >= 2 && var.zones <= 6 && floor(var.zones) == var.zones
    error_message = "Two to six availability zones: with one, Redis has nowhere to fail over to."
  }
}

variable "gateway_per_zone" {
  description = "Whether each zone has a NAT gateway of its own. With one for all, the others lose their way out when its zone is down."
  type        = bool
  default     = true
}

variable "kubernetes_version" {
  description = "The version of Kubernetes; the chart needs 1.30 or later."
  type        = string
  default     = "1.33"

  validation {
    condition     = can(regex("^1\\.(3[0-9]|[4-9][0-9])$", var.kubernetes_version))
    error_message = "A version of Kubernetes is as 1.33, and at least 1.30."
  }
}

variable "administrators" {
  description = "ARNs of the users and roles of IAM that administer the cluster."
  type        = set(string)

  validation {
    condition     = length(var.administrators) > 0 && alltrue([for arn in var.administrators : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:(role|user)/", arn))])
    error_message = "At least one administrator, each the ARN of a role or a user."
  }
}

variable "api_cidrs" {
  description = "From where the cluster's API can be reached besides its own network; from nowhere if empty."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.api_cidrs : can(cidrhost(cidr, 0)) && cidr != "0.0.0.0/0"])
    error_message = "Ranges in CIDR notation, and not the whole internet."
  }
}

variable "namespace" {
  description = "The namespace of Kubernetes that the chart is installed into."
  type        = string
  default     = "streamsync"
}

variable "release" {
  description = "The name of the chart's release; its service accounts are named after it."
  type        = string
  default     = "streamsync"
}

variable "noncurrent_days" {
  description = "For how many days what was deleted or overwritten in the bucket can be brought back; 0 keeps no versions. The compactor deletes what it merged, so versions cost about as much again for each day."
  type        = number
  default     = 3

  validation {
    condition     = var.noncurrent_days >= 0 && var.noncurrent_days <= 365
    error_message = "0 to 365 days."
  }
}

variable "redis_node_type" {
  description = "The size of Redis' nodes."
  type        = string
  default     = "cache.m7g.large"

  validation {
    condition     = startswith(var.redis_node_type, "cache.")
    error_message = "Node types of ElastiCache begin with `cache.`."
  }
}

variable "redis_replicas" {
  description = "How many replicas of Redis stand by, in other zones."
  type        = number
  default     = 1

  validation {
    condition     = var.redis_replicas >= 1 && var.redis_replicas <= 5
    error_message = "One to five: without any, a node that fails takes credit and keys with it."
  }
}

variable "redis_auth_token" {
  description = "The password of Redis. It is in the state, as all that Terraform is given: keep that encrypted."
  type        = string
  sensitive   = true

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{32,128}$", var.redis_auth_token))
    error_message = "32 to 128 letters, digits, hyphens and underscores, as `openssl rand -hex 32` makes them."
  }
}
