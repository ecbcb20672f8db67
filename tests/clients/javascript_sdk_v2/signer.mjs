// The scenario of all signers, by the JavaScript SDK v2, which does not sign Content-Type.

import AWS from "aws-sdk";

const endpoint = process.argv[2];
const { name, orders, pairs } = JSON.parse(process.argv[3]);
const BODY = 'line\r\nwith <xml> & "quotes", 100% + ünïcode and 🎉';

const clients = Object.fromEntries(
  Object.entries(pairs).map(([user, [accessKeyId, secretAccessKey]]) => [
    user,
    new AWS.SQS({ endpoint, region: "us-east-1", accessKeyId, secretAccessKey }),
  ]),
);

async function rejection(request) {
  try {
    await request.promise();
  } catch (error) {
    return error.code;
  }
  return "not rejected";
}

async function useQueue() {
  const sqs = clients.admin;
  const { QueueUrl } = await sqs
    .createQueue({ QueueName: name, Attributes: { VisibilityTimeout: "45" } })
    .promise();
  const attributes = async () =>
    (await sqs.getQueueAttributes({ QueueUrl, AttributeNames: ["All"] }).promise()).Attributes;
  const text = { DataType: "String", StringValue: "ü" };
  await sqs
    .sendMessage({ QueueUrl, MessageBody: BODY, MessageAttributes: { text } })
    .promise();
  const Entries = [0, 1].map((n) => ({ Id: `e${n}`, MessageBody: `batch ${n}` }));
  await sqs.sendMessageBatch({ QueueUrl, Entries }).promise();
  const { QueueArn, VisibilityTimeout } = await attributes();
  const { Messages } = await sqs
    .receiveMessage({ QueueUrl, MaxNumberOfMessages: 10, MessageAttributeNames: ["All"] })
    .promise();
  const [first, ...others] = Messages.map(({ ReceiptHandle }) => ReceiptHandle);
  await sqs.deleteMessage({ QueueUrl, ReceiptHandle: first }).promise();
  const handles = others.map((ReceiptHandle, n) => ({ Id: `d${n}`, ReceiptHandle }));
  await sqs.deleteMessageBatch({ QueueUrl, Entries: handles }).promise();
  const left = await attributes();
  const { QueueUrls } = await sqs.listQueues({ QueueNamePrefix: name }).promise();
  await sqs.deleteQueue({ QueueUrl }).promise();
  return {
    arn: QueueArn,
    timeout: VisibilityTimeout,
    bodies: Messages.map(({ Body }) => Body).sort(),
    texts: Messages.flatMap(({ MessageAttributes }) => MessageAttributes?.text?.StringValue ?? []),
    left: [left.ApproximateNumberOfMessages, left.ApproximateNumberOfMessagesNotVisible],
    listed: QueueUrls.length === 1 && QueueUrls[0] === QueueUrl,
    missing: await rejection(sqs.getQueueUrl({ QueueName: name })),
  };
}

const queue = await useQueue();
const { MessageId } = await clients.producer
  .sendMessage({ QueueUrl: orders, MessageBody: name })
  .promise();
const facts = {
  queue,
  sent: MessageId !== undefined,
  denied: await rejection(clients.producer.receiveMessage({ QueueUrl: orders })),
  "wrong secret": await rejection(clients["wrong secret"].listQueues()),
  "unknown key": await rejection(clients["unknown key"].listQueues()),
};
process.stdout.write(JSON.stringify(facts));
