// The JavaScript SDK v3 and sqs-consumer, used as in their documentation. The SDK checks the digests
// of sent and received messages, and sends requests to the origin of the queue URL.

import * as sdk from "@aws-sdk/client-sqs";
import { Consumer } from "sqs-consumer";

const endpoint = process.argv[2];
const sqs = new sdk.SQSClient({ endpoint, region: "us-east-1", maxAttempts: 1 });

const create = async (QueueName, Attributes, tags) =>
  (await sqs.send(new sdk.CreateQueueCommand({ QueueName, Attributes, tags }))).QueueUrl;

const receive = async (QueueUrl, options = {}) =>
  (await sqs.send(new sdk.ReceiveMessageCommand({ QueueUrl, ...options }))).Messages ?? [];

async function queue() {
  const created = await create("created", { VisibilityTimeout: "45" }, { team: "checkout" });
  await sqs.send(
    new sdk.SetQueueAttributesCommand({ QueueUrl: created, Attributes: { DelaySeconds: "0" } }),
  );
  const { Attributes } = await sqs.send(
    new sdk.GetQueueAttributesCommand({ QueueUrl: created, AttributeNames: ["All"] }),
  );
  const { Tags } = await sqs.send(new sdk.ListQueueTagsCommand({ QueueUrl: created }));
  const found = await sqs.send(new sdk.GetQueueUrlCommand({ QueueName: "created" }));
  for (let n = 0; n < 5; n++) await create(`page-${n}`);
  const pages = [];
  const paginator = sdk.paginateListQueues({ client: sqs, pageSize: 2 }, { QueueNamePrefix: "page" });
  for await (const page of paginator) pages.push(page.QueueUrls.length);
  return {
    timeout: Attributes.VisibilityTimeout,
    arn: Attributes.QueueArn,
    tags: Tags,
    found: found.QueueUrl === created,
    pages,
  };
}

async function cycle() {
  const QueueUrl = await create("cycle");
  const bytes = Uint8Array.from({ length: 256 }, (_, n) => n);
  const body = 'line\r\nwith <xml> & "quotes", ünïcode and 🎉';
  const sent = await sqs.send(
    new sdk.SendMessageCommand({
      QueueUrl,
      MessageBody: body,
      MessageAttributes: {
        text: { DataType: "String", StringValue: "ü" },
        number: { DataType: "Number.int", StringValue: "007" },
        bytes: { DataType: "Binary", BinaryValue: bytes },
      },
      MessageSystemAttributes: {
        AWSTraceHeader: {
            DataType: "String",
            StringValue: "Root=1-5759e988-bd862e3fe1be46a994272793",
        },
      },
    }),
  );
  const [got] = await receive(QueueUrl, {
    MessageSystemAttributeNames: ["All"],
    MessageAttributeNames: ["All"],
  });
  const { ReceiptHandle } = got;
  await sqs.send(
    new sdk.ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle, VisibilityTimeout: 60 }),
  );
  await sqs.send(new sdk.DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
  return {
    sameId: got.MessageId === sent.MessageId,
    sameBody: got.Body === body,
    sameDigest: got.MD5OfMessageAttributes === sent.MD5OfMessageAttributes,
    text: got.MessageAttributes.text.StringValue,
    number: got.MessageAttributes.number,
    bytes: Buffer.from(got.MessageAttributes.bytes.BinaryValue).equals(Buffer.from(bytes)),
    trace: got.Attributes.AWSTraceHeader,
    count: got.Attributes.ApproximateReceiveCount,
  };
}

async function batch() {
  const QueueUrl = await create("batch", { MaximumMessageSize: "1024" });
  const Entries = Array.from({ length: 9 }, (_, n) => ({ Id: `e${n}`, MessageBody: `body ${n}` }));
  Entries.push({ Id: "big", MessageBody: "x".repeat(1025) });
  const sent = await sqs.send(new sdk.SendMessageBatchCommand({ QueueUrl, Entries }));
  const got = await receive(QueueUrl, { MaxNumberOfMessages: 10 });
  const handles = got.map(({ ReceiptHandle }, n) => ({ Id: `d${n}`, ReceiptHandle }));
  const shown = await sqs.send(
    new sdk.ChangeMessageVisibilityBatchCommand({
      QueueUrl,
      Entries: handles.map((entry) => ({ ...entry, VisibilityTimeout: 60 })),
    }),
  );
  const deleted = await sqs.send(
    new sdk.DeleteMessageBatchCommand({
      QueueUrl,
      Entries: [...handles, { Id: "bad", ReceiptHandle: "garbage" }],
    }),
  );
  return {
    sent: sent.Successful.map(({ Id }) => Id),
    notSent: sent.Failed.map(({ Id, Code, SenderFault }) => [Id, Code, SenderFault]),
    received: got.map(({ Body }) => Body).sort(),
    changed: [shown.Successful.length, shown.Failed ?? null],
    deleted: deleted.Successful.length,
    notDeleted: deleted.Failed.map(({ Id, Code, SenderFault }) => [Id, Code, SenderFault]),
  };
}

async function fifo() {
  const QueueUrl = await create("orders.fifo", {
    FifoQueue: "true",
    ContentBasedDeduplication: "true",
  });
  const send = (MessageBody, MessageGroupId) =>
    sqs.send(new sdk.SendMessageCommand({ QueueUrl, MessageBody, MessageGroupId }));
  const sent = [];
  for (const [body, group] of ["1a", "2a", "3b", "1a"]) sent.push(await send(body, group));
  const first = await receive(QueueUrl, { MessageSystemAttributeNames: ["All"] });
  const others = await receive(QueueUrl, { MaxNumberOfMessages: 10 });
  const { ReceiptHandle } = first[0];
  await sqs.send(new sdk.DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
  const rest = await receive(QueueUrl, { MaxNumberOfMessages: 10 });
  return {
    bodies: [first, others, rest].map((part) => part.map(({ Body }) => Body)),
    group: first[0].Attributes.MessageGroupId,
    rising: sent[0].SequenceNumber < sent[1].SequenceNumber,
    sameNumber: first[0].Attributes.SequenceNumber === sent[0].SequenceNumber,
    deduplicated: sent[3].MessageId === sent[0].MessageId,
  };
}

async function longPoll() {
  const QueueUrl = await create("poll");
  const waiting = receive(QueueUrl, { WaitTimeSeconds: 20 });
  const started = Date.now();
  await sqs.send(new sdk.SendMessageCommand({ QueueUrl, MessageBody: "during the poll" }));
  const bodies = (await waiting).map(({ Body }) => Body);
  const none = await receive(QueueUrl, { WaitTimeSeconds: 1 });
  const controller = new AbortController();
  const aborted = sqs.send(new sdk.ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 20 }), {
    abortSignal: controller.signal,
  });
  setTimeout(() => controller.abort(), 200);
  const abortError = await aborted.catch((error) => error.name);
  await sqs.send(new sdk.SendMessageCommand({ QueueUrl, MessageBody: "after the abort" }));
  const next = await receive(QueueUrl, { WaitTimeSeconds: 5 });
  return {
    bodies,
    none,
    aborted: abortError,
    next: next.map(({ Body }) => Body),
    // The polls end by messages of a real server, and not at their deadlines of 20 s.
    isEarly: Date.now() - started < 10_000,
  };
}

async function errors() {
  const QueueUrl = await create("errors");
  const rejected = async (command) => {
    try {
      await sqs.send(command);
    } catch (error) {
      const { name, message, $fault, $metadata } = error;
      const known = name in sdk && error instanceof sdk[name];
      return { name, message, fault: $fault, status: $metadata.httpStatusCode, known };
    }
    return "the request was not rejected";
  };
  const entry = { Id: "same", MessageBody: "x" };
  const nowhere = `${endpoint}/000000000000/nowhere`;
  return {
    queue: await rejected(new sdk.SendMessageCommand({ QueueUrl: nowhere, MessageBody: "x" })),
    exists: await rejected(
      new sdk.CreateQueueCommand({ QueueName: "errors", Attributes: { DelaySeconds: "9" } }),
    ),
    handle: await rejected(new sdk.DeleteMessageCommand({ QueueUrl, ReceiptHandle: "garbage" })),
    contents: await rejected(new sdk.SendMessageCommand({ QueueUrl, MessageBody: "\u0001" })),
    empty: await rejected(new sdk.SendMessageBatchCommand({ QueueUrl, Entries: [] })),
    ids: await rejected(new sdk.SendMessageBatchCommand({ QueueUrl, Entries: [entry, entry] })),
    wait: await rejected(new sdk.ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 21 })),
  };
}

async function purgeAndDelete() {
  const QueueUrl = await create("purgeAndDelete");
  await sqs.send(new sdk.SendMessageCommand({ QueueUrl, MessageBody: "x" }));
  await sqs.send(new sdk.PurgeQueueCommand({ QueueUrl }));
  const purged = await receive(QueueUrl);
  const deleted = await sqs.send(new sdk.DeleteQueueCommand({ QueueUrl }));
  return { purged, status: deleted.$metadata.httpStatusCode };
}

// The client has no endpoint; it sends the request to the origin of the queue URL.
async function byQueueUrl() {
  const QueueUrl = await create("by-url");
  const elsewhere = new sdk.SQSClient({ region: "us-east-1", maxAttempts: 1 });
  await elsewhere.send(new sdk.SendMessageCommand({ QueueUrl, MessageBody: "found" }));
  return (await receive(QueueUrl)).map(({ Body }) => Body);
}

async function consumer() {
  const dead = await create("dead");
  const { Attributes } = await sqs.send(
    new sdk.GetQueueAttributesCommand({ QueueUrl: dead, AttributeNames: ["QueueArn"] }),
  );
  const queueUrl = await create("consumed", {
    RedrivePolicy: JSON.stringify({ deadLetterTargetArn: Attributes.QueueArn, maxReceiveCount: 2 }),
  });
  const total = 50;
  for (let start = 0; start < total; start += 10) {
    const Entries = Array.from({ length: 10 }, (_, n) => ({
      Id: `${n}`,
      MessageBody: `${start + n}`,
    }));
    await sqs.send(new sdk.SendMessageBatchCommand({ QueueUrl: queueUrl, Entries }));
  }
  const handled = [];
  const errors = [];
  const app = Consumer.create({
    queueUrl,
    sqs,
    batchSize: 10,
    waitTimeSeconds: 1,
    terminateVisibilityTimeout: true,
    pollingCompleteWaitTimeMs: 5_000,
    handleMessage: async (message) => {
      if (message.Body === "13") throw new Error("failing");
      handled.push(message.Body);
      return message;
    },
  });
  app.on("error", (error) => errors.push(error.message));
  app.on("processing_error", () => errors.push("processing_error"));
  const stopped = new Promise((resolve) => app.once("stopped", resolve));
  // The first empty poll has moved the failing message to the dead-letter queue.
  app.on("empty", () => app.stop());
  app.start();
  await stopped;
  const { Attributes: left } = await sqs.send(
    new sdk.GetQueueAttributesCommand({ QueueUrl: queueUrl, AttributeNames: ["All"] }),
  );
  return {
    handled: handled.map(Number).sort((a, b) => a - b),
    errors,
    left: [left.ApproximateNumberOfMessages, left.ApproximateNumberOfMessagesNotVisible],
    dead: (await receive(dead)).map(({ Body }) => Body),
  };
}

const facts = {};
for (const part of [queue, cycle, batch, fifo, longPoll, errors, purgeAndDelete, byQueueUrl, consumer])
  facts[part.name] = await part();
process.stdout.write(JSON.stringify(facts));
