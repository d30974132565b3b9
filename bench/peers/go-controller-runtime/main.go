// A peer in Go with controller-runtime: decode the pod, change it, and have the difference made a patch.
//
// Called as go-controller-runtime TLS-DIRECTORY TABLE PORT.
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// slice is what a profile becomes.
type slice struct {
	Resource     corev1.ResourceName `json:"resource"`
	Count        string              `json:"count"`
	Pools        string              `json:"pools"`
	Tolerations  []corev1.Toleration `json:"tolerations"`
	NodeSelector map[string]string   `json:"nodeSelector"`
}

type mutator struct {
	table   map[string]slice
	decoder admission.Decoder
}

func main() {
	ctrl.SetLogger(zap.New())
	text, err := os.ReadFile(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		log.Fatal(err)
	}
	handler := &mutator{decoder: admission.NewDecoder(scheme)}
	if err := json.Unmarshal(text, &handler.table); err != nil {
		log.Fatal(err)
	}
	port, err := strconv.Atoi(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	server := webhook.NewServer(webhook.Options{
		Host:    "127.0.0.1",
		Port:    port,
		CertDir: os.Args[1],
		TLSOpts: []func(*tls.Config){func(config *tls.Config) {
			config.MinVersion = tls.VersionTLS13
			config.NextProtos = []string{"http/1.1"}
		}},
	})
	server.Register("/mutate", &webhook.Admission{Handler: handler})
	if err := server.Start(ctrl.SetupSignalHandler()); err != nil {
		log.Fatal(err)
	}
}

func (m *mutator) Handle(_ context.Context, req admission.Request) admission.Response {
	pod := &corev1.Pod{}
	if err := m.decoder.Decode(req, pod); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	profile, asks := pod.Annotations["gpu-slice"]
	if !asks {
		return admission.Allowed("")
	}
	given, offered := m.table[profile]
	if !offered || len(pod.Spec.Containers) == 0 {
		return admission.Denied(fmt.Sprintf("no pool offers %s", profile))
	}
	mutate(pod, profile, given)
	marshaled, err := json.Marshal(pod)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	return admission.PatchResponseFromRaw(req.Object.Raw, marshaled)
}

func mutate(pod *corev1.Pod, profile string, given slice) {
	container := &pod.Spec.Containers[0]
	pod.Annotations["gpu-slice/assigned"] = fmt.Sprintf(
		"%s -> %s=%s:%s", profile, container.Name, given.Resource, given.Count)
	pod.Annotations["gpu-slice/pools"] = given.Pools
	if container.Resources.Limits == nil {
		container.Resources.Limits = corev1.ResourceList{}
	}
	if container.Resources.Requests == nil {
		container.Resources.Requests = corev1.ResourceList{}
	}
	container.Resources.Limits[given.Resource] = resource.MustParse(given.Count)
	container.Resources.Requests[given.Resource] = resource.MustParse(given.Count)
	for _, toleration := range given.Tolerations {
		if !slices.Contains(pod.Spec.Tolerations, toleration) {
			pod.Spec.Tolerations = append(pod.Spec.Tolerations, toleration)
		}
	}
	if pod.Spec.NodeSelector == nil {
		pod.Spec.NodeSelector = map[string]string{}
	}
	for label, value := range given.NodeSelector {
		pod.Spec.NodeSelector[label] = value
	}
}
