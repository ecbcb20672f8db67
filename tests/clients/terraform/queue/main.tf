terraform {
  required_providers {
    aws = { source = "hashicorp/aws", version = "~> 5.100" }
  }
}

variable "endpoint" { type = string }
variable "name" { type = string }
variable "pairs" { type = map(tuple([string, string])) }

provider "aws" {
  region                      = "us-east-1"
  access_key                  = var.pairs["admin"][0]
  secret_key                  = var.pairs["admin"][1]
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
  endpoints { sqs = var.endpoint }
}

resource "aws_sqs_queue" "orders" {
  name                       = var.name
  visibility_timeout_seconds = 45
  tags                       = { team = "checkout" }
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { AWS = "arn:aws:iam::000000000000:user/producer" }
      Action    = "sqs:SendMessage"
      Resource  = "arn:aws:sqs:us-east-1:000000000000:${var.name}"
    }]
  })
}

output "arn" { value = aws_sqs_queue.orders.arn }
output "timeout" { value = aws_sqs_queue.orders.visibility_timeout_seconds }
