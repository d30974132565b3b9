package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"os"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/uuid"
	webhookrequest "k8s.io/apiserver/pkg/admission/plugin/webhook/request"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/rest"
)

// client is what the API server has for all its webhooks.
type client struct {
	manager webhook.ClientManager
}

// newClient sets a manager up as pkg/admission/plugin/webhook/generic does.
func newClient(service *service) (*client, error) {
	manager, err := webhook.NewClientManager(
		[]schema.GroupVersion{admissionv1.SchemeGroupVersion}, admissionv1.AddToScheme,
	)
	if err != nil {
		return nil, err
	}
	anonymous, err := webhook.NewDefaultAuthenticationInfoResolver("")
	if err != nil {
		return nil, err
	}
	manager.SetAuthenticationInfoResolver(anonymous)
	manager.SetServiceResolver(service)
	manager.SetAuthenticationInfoResolverWrapper(
		func(inner webhook.AuthenticationInfoResolver) webhook.AuthenticationInfoResolver {
			return &webhook.AuthenticationInfoResolverDelegator{
				ClientConfigForFunc: inner.ClientConfigFor,
				ClientConfigForServiceFunc: func(name, namespace string, port int) (*rest.Config, error) {
					config, err := inner.ClientConfigForService(name, namespace, port)
					if err != nil {
						return nil, err
					}
					config.Dial = service.dial
					config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &watched{next} })
					return config, nil
				},
			}
		},
	)
	return &client{manager}, manager.Validate()
}

// rest is the client of a webhook configuration with that caBundle.
func (c *client) rest(bundle []byte) (*rest.RESTClient, error) {
	return c.manager.HookClient(webhook.ClientConfig{
		Name:     "pods.gpu-slice.io",
		CABundle: bundle,
		Service:  &webhook.ClientConfigService{Name: "webhook", Namespace: "gpu-slice", Path: "/mutate", Port: 443},
	})
}

func (c *client) closeIdle(bundle []byte) {
	if client, err := c.rest(bundle); err == nil {
		utilnet.CloseIdleConnectionsFor(client.Client.Transport)
	}
}

// call is one review, with all its attempts.
type call struct {
	figures  *figures
	attempts int
	replica  string // of the last attempt
	reused   bool   // the last attempt went over a connection that was there
}

type callKey struct{}

// watched sees each attempt: the retries are the client's own.
type watched struct {
	next http.RoundTripper
}

// WrappedRoundTripper is how client-go finds the transport.
func (w *watched) WrappedRoundTripper() http.RoundTripper { return w.next }

func (w *watched) RoundTrip(request *http.Request) (*http.Response, error) {
	call := request.Context().Value(callKey{}).(*call)
	figures := call.figures
	call.attempts++
	call.replica, call.reused = "", false
	trace := &httptrace.ClientTrace{
		GotConn: func(got httptrace.GotConnInfo) {
			call.replica, call.reused = got.Conn.RemoteAddr().String(), got.Reused
		},
		// From another goroutine, perhaps after the call: the connection is kept for the next one.
		TLSHandshakeDone: func(_ tlsState, err error) { figures.shaken(err) },
	}
	response, err := w.next.RoundTrip(request.WithContext(httptrace.WithClientTrace(request.Context(), trace)))
	if err == nil {
		figures.status(response.StatusCode)
	}
	return response, err
}

// post sends one review and judges the answer, as pkg/admission/plugin/webhook/mutating/dispatcher.go does.
func (c *client) post(
	bundle []byte, template *admissionv1.AdmissionReview, timeout time.Duration, call *call,
) (*webhookrequest.AdmissionResponse, error) {
	request, asked := *template, *template.Request
	asked.UID = uuid.NewUUID()
	request.Request = &asked
	client, err := c.rest(bundle)
	if err != nil {
		return nil, fmt.Errorf("could not get REST client: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), callKey{}, call), timeout)
	defer cancel()
	response := &admissionv1.AdmissionReview{}
	if err := client.Post().Body(&request).Timeout(timeout).Do(ctx).Into(response); err != nil {
		return nil, fmt.Errorf("failed to call webhook: %w", err)
	}
	result, err := webhookrequest.VerifyAdmissionResponse(asked.UID, true, response)
	if err != nil {
		return nil, fmt.Errorf("received invalid webhook response: %w", err)
	}
	return result, nil
}

// read reads reviews to send.
func read(paths []string) ([]*admissionv1.AdmissionReview, error) {
	var found []*admissionv1.AdmissionReview
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		review := &admissionv1.AdmissionReview{}
		if err := json.Unmarshal(text, review); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if review.Request == nil {
			return nil, fmt.Errorf("%s: no request in it", path)
		}
		found = append(found, review)
	}
	return found, nil
}
