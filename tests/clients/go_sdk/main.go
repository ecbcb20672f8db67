// The scenario of all signers, by the Go SDK v2.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

const body = "line\r\nwith <xml> & \"quotes\", 100% + ünïcode and 🎉"

var (
	ctx = context.Background()
	all = []types.QueueAttributeName{types.QueueAttributeNameAll}
)

type signingCase struct {
	Name, Orders string
	Pairs        map[string][2]string
}

func connect(endpoint string, pair [2]string) *sqs.Client {
	return sqs.New(sqs.Options{
		BaseEndpoint: aws.String(endpoint),
		Region:       "us-east-1",
		Credentials:  credentials.NewStaticCredentialsProvider(pair[0], pair[1], ""),
	})
}

// check ends the program at an error of a request that must succeed.
func check[T any](answer T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return answer
}

func rejection[T any](_ T, err error) string {
	var rejected smithy.APIError
	if errors.As(err, &rejected) {
		return rejected.ErrorCode()
	}
	return "not rejected"
}

func useQueue(client *sqs.Client, name string) map[string]any {
	url := check(client.CreateQueue(ctx, &sqs.CreateQueueInput{
		QueueName:  &name,
		Attributes: map[string]string{"VisibilityTimeout": "45"},
	})).QueueUrl
	attributes := func() map[string]string {
		return check(client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
			QueueUrl: url, AttributeNames: all,
		})).Attributes
	}
	check(client.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl:    url,
		MessageBody: aws.String(body),
		MessageAttributes: map[string]types.MessageAttributeValue{
			"text": {DataType: aws.String("String"), StringValue: aws.String("ü")},
		},
	}))
	check(client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{
		QueueUrl: url,
		Entries: []types.SendMessageBatchRequestEntry{
			{Id: aws.String("e0"), MessageBody: aws.String("batch 0")},
			{Id: aws.String("e1"), MessageBody: aws.String("batch 1")},
		},
	}))
	created := attributes()
	messages := check(client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: url, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"},
	})).Messages
	bodies, texts := []string{}, []string{}
	handles := []types.DeleteMessageBatchRequestEntry{}
	for _, message := range messages {
		bodies = append(bodies, *message.Body)
		if text, found := message.MessageAttributes["text"]; found {
			texts = append(texts, *text.StringValue)
		}
		handles = append(handles, types.DeleteMessageBatchRequestEntry{
			Id: message.MessageId, ReceiptHandle: message.ReceiptHandle,
		})
	}
	slices.Sort(bodies)
	check(client.DeleteMessage(ctx, &sqs.DeleteMessageInput{
		QueueUrl: url, ReceiptHandle: handles[0].ReceiptHandle,
	}))
	check(client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{
		QueueUrl: url, Entries: handles[1:],
	}))
	left := attributes()
	listed := check(client.ListQueues(ctx, &sqs.ListQueuesInput{QueueNamePrefix: &name})).QueueUrls
	check(client.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: url}))
	return map[string]any{
		"arn":     created["QueueArn"],
		"timeout": created["VisibilityTimeout"],
		"bodies":  bodies,
		"texts":   texts,
		"left": []string{
			left["ApproximateNumberOfMessages"], left["ApproximateNumberOfMessagesNotVisible"],
		},
		"listed":  slices.Equal(listed, []string{*url}),
		"missing": rejection(client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name})),
	}
}

func main() {
	var given signingCase
	check(0, json.Unmarshal([]byte(os.Args[2]), &given))
	clients := map[string]*sqs.Client{}
	for user, pair := range given.Pairs {
		clients[user] = connect(os.Args[1], pair)
	}
	producer := clients["producer"]
	queue := useQueue(clients["admin"], given.Name)
	sent := check(producer.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: &given.Orders, MessageBody: &given.Name,
	}))
	check(0, json.NewEncoder(os.Stdout).Encode(map[string]any{
		"queue": queue,
		"sent":  sent.MessageId != nil,
		"denied": rejection(
			producer.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &given.Orders}),
		),
		"wrong secret": rejection(clients["wrong secret"].ListQueues(ctx, &sqs.ListQueuesInput{})),
		"unknown key":  rejection(clients["unknown key"].ListQueues(ctx, &sqs.ListQueuesInput{})),
	}))
}
