// The scenario of all signers, by the JavaScript SDK v3.

import * as sdk from "@aws-sdk/client-sqs";

const endpoint = process.argv[2];
const { name, orders, pairs } = JSON.parse(process.argv[3]);
const BODY = 'line\r\nwith <xml> & "quotes", 100% + ünïcode and 🎉';

const clients = Object.fromEntries(
  Object.entries(pairs).map(([user, [accessKeyId, secretAccessKey]]) => [
    user,
    new sdk.SQSClient({
      endpoint,
      region: "us-east-1",
      credentials: { accessKeyId, secretAccessKey },
    }),
  ]),
);

async function rejection(user, command) {
  try {
    await clients[user].send(command);
  } catch (error) {
    return error.name;
  }
  return "not rejected";
}

async function useQueue() {
  const sqs = clients.admin;
  const { QueueUrl } = await sqs.send(
    new sdk.CreateQueueCommand({ QueueName: name, Attributes: { VisibilityTimeout: "45" } }),
  );
  const attributes = async () =>
    (await sqs.send(new sdk.GetQueueAttributesCommand({ QueueUrl, AttributeNames: ["All"] })))
      .Attributes;
  await sqs.send(
    new sdk.SendMessageCommand({
      QueueUrl,
      MessageBody: BODY,
      MessageAttributes: { text: { DataType: "String", StringValue: "ü" } },
    }),
  );
  const Entries = [0, 1].map((n) => ({ Id: `e${n}`, MessageBody: `batch ${n}` }));
  await sqs.send(new sdk.SendMessageBatchCommand({ QueueUrl, Entries }));
  const { QueueArn, VisibilityTimeout } = await attributes();
  const { Messages } = await sqs.send(
    new sdk.ReceiveMessageCommand({
      QueueUrl,
      MaxNumberOfMessages: 10,
      MessageAttributeNames: ["All"],
    }),
  );
  const [first, ...others] = Messages.map(({ ReceiptHandle }) => ReceiptHandle);
  await sqs.send(new sdk.DeleteMessageCommand({ QueueUrl, ReceiptHandle: first }));
  const handles = others.map((ReceiptHandle, n) => ({ Id: `d${n}`, ReceiptHandle }));
  await sqs.send(new sdk.DeleteMessageBatchCommand({ QueueUrl, Entries: handles }));
  const left = await attributes();
  const { QueueUrls } = await sqs.send(new sdk.ListQueuesCommand({ QueueNamePrefix: name }));
  await sqs.send(new sdk.DeleteQueueCommand({ QueueUrl }));
  return {
    arn: QueueArn,
    timeout: VisibilityTimeout,
    bodies: Messages.map(({ Body }) => Body).sort(),
    texts: Messages.flatMap(({ MessageAttributes }) => MessageAttributes?.text.StringValue ?? []),
    left: [left.ApproximateNumberOfMessages, left.ApproximateNumberOfMessagesNotVisible],
    listed: QueueUrls.length === 1 && QueueUrls[0] === QueueUrl,
    missing: await rejection("admin", new sdk.GetQueueUrlCommand({ QueueName: name })),
  };
}

const queue = await useQueue();
const sent = await clients.producer.send(
  new sdk.SendMessageCommand({ QueueUrl: orders, MessageBody: name }),
);
const facts = {
  queue,
  sent: sent.MessageId !== undefined,
  denied: await rejection("producer", new sdk.ReceiveMessageCommand({ QueueUrl: orders })),
  "wrong secret": await rejection("wrong secret", new sdk.ListQueuesCommand({})),
  "unknown key": await rejection("unknown key", new sdk.ListQueuesCommand({})),
};
process.stdout.write(JSON.stringify(facts));
