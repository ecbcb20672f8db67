// The script of each page: the AWS SDK for JavaScript v3, for the functions that the scenario runs
// in the page.

import * as sdk from "@aws-sdk/client-sqs";

globalThis.sdk = sdk;
