// The scenario of all signers, by the Java SDK v2. The SDK checks the digests of all messages.

import java.net.URI;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.protocols.jsoncore.JsonNode;
import software.amazon.awssdk.protocols.jsoncore.JsonWriter;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.sqs.SqsClient;
import software.amazon.awssdk.services.sqs.model.DeleteMessageBatchRequestEntry;
import software.amazon.awssdk.services.sqs.model.Message;
import software.amazon.awssdk.services.sqs.model.MessageAttributeValue;
import software.amazon.awssdk.services.sqs.model.QueueAttributeName;
import software.amazon.awssdk.services.sqs.model.SendMessageBatchRequestEntry;
import software.amazon.awssdk.services.sqs.model.SqsException;

public final class Signer {
    private static final String BODY =
            "line\r\nwith <xml> & \"quotes\", 100% + \u00fcn\u00efcode and \ud83c\udf89";

    private static SqsClient connect(String endpoint, JsonNode pair) {
        List<JsonNode> texts = pair.asArray();
        AwsBasicCredentials credentials =
                AwsBasicCredentials.create(texts.get(0).asString(), texts.get(1).asString());
        return SqsClient.builder()
                .endpointOverride(URI.create(endpoint))
                .region(Region.US_EAST_1)
                .credentialsProvider(StaticCredentialsProvider.create(credentials))
                .build();
    }

    private static String rejection(Runnable call) {
        try {
            call.run();
        } catch (SqsException error) {
            return error.awsErrorDetails().errorCode();
        }
        return "not rejected";
    }

    private static Map<QueueAttributeName, String> attributes(SqsClient sqs, String url) {
        return sqs.getQueueAttributes(
                request -> request.queueUrl(url).attributeNames(QueueAttributeName.ALL))
                .attributes();
    }

    private static Map<String, Object> useQueue(SqsClient sqs, String name) {
        String url = sqs.createQueue(request -> request.queueName(name)
                .attributes(Map.of(QueueAttributeName.VISIBILITY_TIMEOUT, "45"))).queueUrl();
        MessageAttributeValue text =
                MessageAttributeValue.builder().dataType("String").stringValue("\u00fc").build();
        sqs.sendMessage(request -> request.queueUrl(url).messageBody(BODY)
                .messageAttributes(Map.of("text", text)));
        sqs.sendMessageBatch(request -> request.queueUrl(url).entries(
                SendMessageBatchRequestEntry.builder().id("e0").messageBody("batch 0").build(),
                SendMessageBatchRequestEntry.builder().id("e1").messageBody("batch 1").build()));
        Map<QueueAttributeName, String> created = attributes(sqs, url);
        List<Message> received = sqs.receiveMessage(request -> request.queueUrl(url)
                .maxNumberOfMessages(10).messageAttributeNames("All")).messages();
        sqs.deleteMessage(request -> request.queueUrl(url)
                .receiptHandle(received.get(0).receiptHandle()));
        List<DeleteMessageBatchRequestEntry> others = received.stream().skip(1)
                .map(message -> DeleteMessageBatchRequestEntry.builder()
                        .id(message.messageId()).receiptHandle(message.receiptHandle()).build())
                .collect(Collectors.toList());
        sqs.deleteMessageBatch(request -> request.queueUrl(url).entries(others));
        Map<QueueAttributeName, String> left = attributes(sqs, url);
        List<String> listed = sqs.listQueues(request -> request.queueNamePrefix(name)).queueUrls();
        sqs.deleteQueue(request -> request.queueUrl(url));
        List<String> texts = new ArrayList<>();
        for (Message message : received) {
            message.messageAttributes().values().forEach(each -> texts.add(each.stringValue()));
        }
        Map<String, Object> facts = new LinkedHashMap<>();
        facts.put("arn", created.get(QueueAttributeName.QUEUE_ARN));
        facts.put("timeout", created.get(QueueAttributeName.VISIBILITY_TIMEOUT));
        facts.put("bodies",
                received.stream().map(Message::body).sorted().collect(Collectors.toList()));
        facts.put("texts", texts);
        facts.put("left", List.of(
                left.get(QueueAttributeName.APPROXIMATE_NUMBER_OF_MESSAGES),
                left.get(QueueAttributeName.APPROXIMATE_NUMBER_OF_MESSAGES_NOT_VISIBLE)));
        facts.put("listed", listed.equals(List.of(url)));
        facts.put("missing", rejection(() -> sqs.getQueueUrl(request -> request.queueName(name))));
        return facts;
    }

    private static void write(JsonWriter json, Object value) {
        if (value instanceof Map) {
            json.writeStartObject();
            ((Map<?, ?>) value).forEach((name, each) -> {
                json.writeFieldName((String) name);
                write(json, each);
            });
            json.writeEndObject();
        } else if (value instanceof List) {
            json.writeStartArray();
            ((List<?>) value).forEach(each -> write(json, each));
            json.writeEndArray();
        } else if (value instanceof Boolean) {
            json.writeValue((Boolean) value);
        } else {
            json.writeValue((String) value);
        }
    }

    public static void main(String[] arguments) {
        Map<String, JsonNode> given = JsonNode.parser().parse(arguments[1]).asObject();
        Map<String, SqsClient> clients = new HashMap<>();
        given.get("pairs").asObject()
                .forEach((user, pair) -> clients.put(user, connect(arguments[0], pair)));
        String name = given.get("name").asString();
        String orders = given.get("orders").asString();
        SqsClient producer = clients.get("producer");
        Map<String, Object> facts = new LinkedHashMap<>();
        facts.put("queue", useQueue(clients.get("admin"), name));
        facts.put("sent", producer.sendMessage(request -> request.queueUrl(orders)
                .messageBody(name)).messageId() != null);
        facts.put("denied", rejection(
                () -> producer.receiveMessage(request -> request.queueUrl(orders))));
        for (String user : List.of("wrong secret", "unknown key")) {
            facts.put(user, rejection(clients.get(user)::listQueues));
        }
        JsonWriter json = JsonWriter.create();
        write(json, facts);
        System.out.write(json.getBytes(), 0, json.getBytes().length);
        System.out.flush();
    }

    private Signer() {
    }
}
