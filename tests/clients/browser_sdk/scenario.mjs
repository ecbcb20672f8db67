// Pages of several origins in Chromium use the server: by the AWS SDK for JavaScript v3, and by the
// requests that a page of any origin can send. The arguments are the URL of the server, the path of
// Chromium, the origin of pages that the server lists, and an origin that it does not list. Both
// origins serve the directory in which the scenario runs. Two more arguments are those of the
// scenario of all signers: the URL of a server with users, and the case.

import { writeFileSync } from "node:fs";
import { build } from "esbuild";
import { chromium } from "playwright-core";

const [server, executablePath, listed, unlisted, accessServer, signingCase] =
  process.argv.slice(2);
const { port } = new URL(server);

// Under `queue`, a page cannot be a stranger's; under `evil.example`, it is one.
const names = "MAP queue 127.0.0.1, MAP evil.example 127.0.0.1";

await build({
  entryPoints: [new URL("page.mjs", import.meta.url).pathname],
  bundle: true,
  outfile: "page.js",
  logLevel: "error",
});
writeFileSync("index.html", '<!doctype html><script src="page.js"></script>');

// Runs in a page: call the API as a program does.
async function useQueue(endpoint) {
  const sqs = new sdk.SQSClient({
    endpoint,
    region: "us-east-1",
    credentials: { accessKeyId: "any", secretAccessKey: "any", sessionToken: "any" },
    maxAttempts: 1,
  });
  const call = (name, input) => sqs.send(new sdk[`${name}Command`](input));
  const { QueueUrl } = await call("CreateQueue", { QueueName: "used" });
  const sent = await call("SendMessage", {
    QueueUrl,
    MessageBody: "ünïcode 🎉",
    MessageAttributes: { bytes: { DataType: "Binary", BinaryValue: new Uint8Array([0, 255]) } },
  });
  const { Messages } = await call("ReceiveMessage", { QueueUrl, MessageAttributeNames: ["All"] });
  const [{ Body, MessageId, MessageAttributes, ReceiptHandle }] = Messages;
  await call("DeleteMessage", { QueueUrl, ReceiptHandle });
  const { Attributes } = await call("GetQueueAttributes", { QueueUrl, AttributeNames: ["All"] });
  const error = await call("GetQueueUrl", { QueueName: "missing" }).catch((error) => error);
  return {
    body: Body,
    sameId: MessageId === sent.MessageId,
    bytes: [...MessageAttributes.bytes.BinaryValue],
    left: [Attributes.ApproximateNumberOfMessages, Attributes.ApproximateNumberOfMessagesNotVisible],
    error: {
      name: error.name,
      code: error.Code,
      status: error.$metadata.httpStatusCode,
      known: error instanceof sdk.QueueDoesNotExist,
      hasRequestId: /^[0-9a-f-]{36}$/.test(error.$metadata.requestId),
    },
  };
}

// Runs in a page: sign requests with the keys of users.
async function sign([endpoint, { name, orders, pairs }]) {
  const call = (user, name, input) => {
    const [accessKeyId, secretAccessKey] = pairs[user];
    const credentials = { accessKeyId, secretAccessKey };
    const sqs = new sdk.SQSClient({ endpoint, region: "us-east-1", credentials });
    return sqs.send(new sdk[`${name}Command`](input));
  };
  const rejection = (...request) => call(...request).then(() => "not rejected", (error) => error.name);
  const { QueueUrl } = await call("admin", "CreateQueue", { QueueName: name });
  await call("admin", "SendMessage", { QueueUrl, MessageBody: "ünïcode 🎉" });
  const { Messages } = await call("admin", "ReceiveMessage", { QueueUrl });
  await call("producer", "SendMessage", { QueueUrl: orders, MessageBody: name });
  return {
    bodies: Messages.map(({ Body }) => Body),
    denied: await rejection("producer", "ReceiveMessage", { QueueUrl: orders }),
    "wrong secret": await rejection("wrong secret", "ListQueues", {}),
    "unknown key": await rejection("unknown key", "ListQueues", {}),
  };
}

// Runs in a page: the requests that a page can send without asking the server.
async function attack([server, plainServer]) {
  const url = (queue, base = server) => `${base}/000000000000/${queue}`;
  const purge = (queue, base) => `${url(queue, base)}?Action=PurgeQueue`;
  const element = (name, properties) =>
    document.body.append(Object.assign(document.createElement(name), properties));
  const submit = (queue, method, target) => {
    const form = document.createElement("form");
    Object.assign(form, { action: url(queue), method, target });
    form.innerHTML = '<input name="Action" value="PurgeQueue">';
    document.body.append(form);
    form.submit();
  };
  const text = { method: "POST", body: "Action=PurgeQueue" };
  element("img", { src: purge("image") });
  element("img", { src: purge("image-without-referrer"), referrerPolicy: "no-referrer" });
  element("img", { src: purge("image-by-http", plainServer) });
  element("script", { src: purge("script") });
  element("iframe", { src: purge("frame") });
  element("iframe", { name: "form" });
  submit("form", "post", "form");
  element("iframe", { name: "get-form" });
  submit("get-form", "get", "get-form");
  navigator.sendBeacon(url("beacon"), "Action=PurgeQueue");
  new EventSource(purge("events"));
  new WebSocket(purge("socket").replace("http:", "ws:"));
  const fetches = [
    fetch(purge("fetch")),
    fetch(url("text"), text),
    fetch(url("opaque"), { ...text, mode: "no-cors" }),
    fetch(url("json"), { ...text, headers: { "X-Amz-Target": "AmazonSQS.PurgeQueue" } }),
  ];
  return (await Promise.allSettled(fetches)).map(({ value, reason }) => value?.type ?? reason.name);
}

// Runs in a page that has the server's own origin, because its host name leads to the server now.
async function rebind() {
  const path = "/000000000000/rebound";
  const answers = [
    await fetch(`${path}?Action=PurgeQueue`),
    await fetch(path, { method: "POST", body: "Action=PurgeQueue" }),
  ];
  return Promise.all(answers.map(async (answer) => [answer.status, await answer.text()]));
}

// Newer browsers also ask the user before a page may reach this machine. Others do not.
const args = [`--host-resolver-rules=${names}`, "--disable-features=LocalNetworkAccessChecks"];
const browser = await chromium.launch({ executablePath, args });

async function open(url) {
  const page = await browser.newPage();
  await page.goto(url);
  return page;
}

async function listedPage() {
  const page = await open(listed);
  const anotherPort = await page.evaluate(useQueue, `http://localhost:${port}`);
  return { anotherPort, anotherSite: await page.evaluate(useQueue, server) };
}

async function signingPage() {
  const page = await open(listed);
  return page.evaluate(sign, [accessServer, JSON.parse(signingCase)]);
}

async function unlistedPage() {
  const page = await open(unlisted);
  return page.evaluate(useQueue, server).catch(({ message }) => message.split("\n")[0]);
}

// Record the status of each answer of the server by the last part of its path; return a function
// that waits for `count` of them. The events of the page alone lack the answers that Chromium blocks.
async function recordStatuses(page, count) {
  const urls = new Map();
  const codes = new Map();
  const statuses = {};
  let resolve;
  const complete = new Promise((callback) => (resolve = callback));
  const add = (id, url, code) => {
    if (url) urls.set(id, new URL(url));
    if (code) codes.set(id, code);
    const found = urls.get(id);
    if (found?.port !== port || !codes.has(id)) return;
    statuses[found.pathname.split("/").pop()] = codes.get(id);
    if (Object.keys(statuses).length === count) resolve(statuses);
  };
  page.on("response", (response) => add(response, response.url(), response.status()));
  const network = await page.context().newCDPSession(page);
  network.on("Network.requestWillBeSent", ({ requestId, request }) => add(requestId, request.url));
  network.on("Network.webSocketCreated", ({ requestId, url }) => add(requestId, url));
  network.on("Network.responseReceivedExtraInfo", ({ requestId, statusCode }) =>
    add(requestId, undefined, statusCode),
  );
  network.on("Network.webSocketFrameError", ({ requestId, errorMessage }) =>
    add(requestId, undefined, Number(/response code: (\d+)/.exec(errorMessage)?.[1])),
  );
  await network.send("Network.enable");
  return () => complete;
}

async function attacks() {
  const page = await open(unlisted);
  const statuses = await recordStatuses(page, 14);
  const results = await page.evaluate(attack, [server, `http://queue:${port}`]);
  return { statuses: await statuses(), results };
}

async function pageWithoutOrigin() {
  const page = await open("data:text/html,<p>");
  const statuses = await recordStatuses(page, 1);
  await page.evaluate(
    (url) => fetch(url, { method: "POST", mode: "no-cors", body: "Action=PurgeQueue" }),
    `${server}/000000000000/data-url`,
  );
  return statuses();
}

async function navigation() {
  const page = await open(unlisted);
  const answered = page.waitForResponse(/navigation/);
  const url = `${server}/000000000000/navigation?Action=PurgeQueue`;
  await page.evaluate((url) => void (location.href = url), url);
  return (await answered).status();
}

async function typedAddress() {
  const page = await browser.newPage();
  return (await page.goto(`${server}/?Action=ListQueues`)).status();
}

async function rebinding() {
  const page = await browser.newPage();
  const address = `http://evil.example:${port}/`;
  await page.route(address, (route) => route.fulfill({ contentType: "text/html", body: "<p>" }));
  await page.goto(address);
  return page.evaluate(rebind);
}

try {
  const facts = {};
  const pages = [listedPage, signingPage, unlistedPage, pageWithoutOrigin];
  for (const part of [...pages, attacks, navigation, typedAddress, rebinding])
    facts[part.name] = await part();
  process.stdout.write(JSON.stringify(facts));
} finally {
  await browser.close();
}
