// A peer in Go: net/http, encoding/json into a small struct, and the operations written by hand.
//
// Called as go-by-hand TLS-DIRECTORY TABLE PORT.
package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// slice is what a profile becomes.
type slice struct {
	Resource     string            `json:"resource"`
	Count        string            `json:"count"`
	Pools        string            `json:"pools"`
	Tolerations  []toleration      `json:"tolerations"`
	NodeSelector map[string]string `json:"nodeSelector"`
}

type toleration struct {
	Key      string `json:"key,omitempty"`
	Operator string `json:"operator,omitempty"`
	Value    string `json:"value,omitempty"`
	Effect   string `json:"effect,omitempty"`
	Seconds  *int64 `json:"tolerationSeconds,omitempty"`
}

// review is what we read of an AdmissionReview.
type review struct {
	Request struct {
		UID    string `json:"uid"`
		Object struct {
			Metadata struct {
				Annotations map[string]string `json:"annotations"`
			} `json:"metadata"`
			Spec struct {
				Containers []struct {
					Name      string     `json:"name"`
					Resources *resources `json:"resources"`
				} `json:"containers"`
				Tolerations  []toleration      `json:"tolerations"`
				NodeSelector map[string]string `json:"nodeSelector"`
			} `json:"spec"`
		} `json:"object"`
	} `json:"request"`
}

type resources struct {
	Limits   map[string]string `json:"limits"`
	Requests map[string]string `json:"requests"`
}

type answer struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Response   response `json:"response"`
}

type response struct {
	UID       string  `json:"uid"`
	Allowed   bool    `json:"allowed"`
	PatchType string  `json:"patchType,omitempty"`
	Patch     []byte  `json:"patch,omitempty"`
	Status    *status `json:"status,omitempty"`
}

type status struct {
	Message string `json:"message"`
}

type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

func main() {
	text, err := os.ReadFile(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	var table map[string]slice
	if err := json.Unmarshal(text, &table); err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /mutate", func(w http.ResponseWriter, r *http.Request) {
		var asked review
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(decide(&asked, table)); err != nil {
			log.Print(err)
		}
	})
	server := &http.Server{
		Addr:      "127.0.0.1:" + os.Args[3],
		Handler:   mux,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}},
	}
	directory := os.Args[1]
	log.Fatal(server.ListenAndServeTLS(filepath.Join(directory, "tls.crt"), filepath.Join(directory, "tls.key")))
}

func decide(asked *review, table map[string]slice) answer {
	said := response{UID: asked.Request.UID, Allowed: true}
	patch, err := operations(asked, table)
	if err != nil {
		said.Allowed, said.Status = false, &status{err.Error()}
	} else if len(patch) > 0 {
		said.PatchType = "JSONPatch"
		said.Patch, _ = json.Marshal(patch) // strings alone cannot fail
	}
	return answer{"admission.k8s.io/v1", "AdmissionReview", said}
}

// operations are the JSON Patch for a pod; an error says why it is denied.
func operations(asked *review, table map[string]slice) (patch []operation, err error) {
	annotations, spec := asked.Request.Object.Metadata.Annotations, &asked.Request.Object.Spec
	profile, asks := annotations["gpu-slice"]
	if !asks {
		return nil, nil
	}
	given, offered := table[profile]
	if !offered || len(spec.Containers) == 0 {
		return nil, fmt.Errorf("no pool offers %s", profile)
	}
	add := func(path string, value any) { patch = append(patch, operation{"add", path, value}) }
	put := func(path string, mapping map[string]string, key, value string) {
		if mapping == nil {
			add(path, map[string]string{key: value})
		} else if mapping[key] != value {
			add(path+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(key), value)
		}
	}
	container := &spec.Containers[0]
	assigned := fmt.Sprintf("%s -> %s=%s:%s", profile, container.Name, given.Resource, given.Count)
	put("/metadata/annotations", annotations, "gpu-slice/assigned", assigned)
	put("/metadata/annotations", annotations, "gpu-slice/pools", given.Pools)
	if lists := container.Resources; lists == nil {
		list := map[string]string{given.Resource: given.Count}
		add("/spec/containers/0/resources", resources{list, list})
	} else {
		put("/spec/containers/0/resources/limits", lists.Limits, given.Resource, given.Count)
		put("/spec/containers/0/resources/requests", lists.Requests, given.Resource, given.Count)
	}
	if spec.Tolerations == nil {
		add("/spec/tolerations", given.Tolerations)
	} else {
		for _, wanted := range given.Tolerations {
			if !slices.Contains(spec.Tolerations, wanted) {
				add("/spec/tolerations/-", wanted)
			}
		}
	}
	if spec.NodeSelector == nil {
		add("/spec/nodeSelector", given.NodeSelector)
	} else {
		for label, value := range given.NodeSelector {
			put("/spec/nodeSelector", spec.NodeSelector, label, value)
		}
	}
	return patch, nil
}
