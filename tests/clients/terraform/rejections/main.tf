terraform {
  required_providers {
    aws = { source = "hashicorp/aws", version = "~> 5.100" }
  }
}

variable "endpoint" { type = string }
variable "name" { type = string }
variable "pairs" { type = map(tuple([string, string])) }

provider "aws" {
  alias                       = "denied"
  region                      = "us-east-1"
  access_key                  = var.pairs["producer"][0]
  secret_key                  = var.pairs["producer"][1]
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
  endpoints { sqs = var.endpoint }
}

provider "aws" {
  alias                       = "wrong_secret"
  region                      = "us-east-1"
  access_key                  = var.pairs["wrong secret"][0]
  secret_key                  = var.pairs["wrong secret"][1]
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
  endpoints { sqs = var.endpoint }
}

data "aws_sqs_queues" "denied" {
  provider          = aws.denied
  queue_name_prefix = var.name
}

data "aws_sqs_queues" "wrong_secret" {
  provider          = aws.wrong_secret
  queue_name_prefix = var.name
}
