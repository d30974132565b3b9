// Command caller calls a webhook as the API server does: with the API server's own client, towards a Service whose
// endpoints it is told.
//
// It reads one JSON command a line and answers each with one line of JSON that carries the command's id, when what was
// asked is done; a load goes on meanwhile.  It ends when its stdin does.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"

	utilfeature "k8s.io/apiserver/pkg/util/feature"
)

// command is one line of stdin.  One field besides the id is set.
type command struct {
	ID        int       `json:"id"`
	Endpoints *[]string `json:"endpoints"` // of the Service, from now on
	CABundle  []byte    `json:"caBundle"`  // of the webhook configuration, from now on
	Load      *load     `json:"load"`
	Halt      bool      `json:"halt"` // what is under way is answered, then the loads end
	Race      []race    `json:"race"`
	Stats     bool      `json:"stats"`
	Proxy     bool      `json:"proxy"`
}

func main() {
	reviews := flag.String("reviews", "", "files with an AdmissionReview each, separated by commas")
	source := flag.String("source", "", "the address to call from")
	pool := flag.String("pool", "service", "whose connections are kept together: those of a service, as Kubernetes "+
		"does up to 1.36, or of an endpoint, as 1.37 does by its gate WebhookRoundTripLoadBalancing")
	flag.Parse()
	gate := fmt.Sprintf("WebhookRoundTripLoadBalancing=%t", *pool == "endpoint")
	if err := utilfeature.DefaultMutableFeatureGate.Set(gate); err != nil {
		fail(err)
	}
	templates, err := read(strings.Split(*reviews, ","))
	if err != nil {
		fail(err)
	}
	service := &service{local: net.ParseIP(*source), open: map[string]int{}, most: map[string]int{}}
	caller := &caller{service: service, templates: templates}
	if caller.client, err = newClient(service); err != nil {
		fail(err)
	}

	var told sync.Mutex
	out := json.NewEncoder(os.Stdout)
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		var asked command
		if err := json.Unmarshal(in.Bytes(), &asked); err != nil {
			fail(err)
		}
		answer := func(found any, err error) {
			line := map[string]any{"id": asked.ID, "found": found}
			if err != nil {
				line["error"] = err.Error()
			}
			told.Lock()
			defer told.Unlock()
			if err := out.Encode(line); err != nil {
				fail(err)
			}
		}
		switch {
		case asked.Load != nil:
			go func() { answer(caller.load(*asked.Load)) }()
		case asked.Race != nil:
			go func() { answer(caller.race(asked.Race)) }()
		default:
			answer(caller.do(asked))
		}
	}
}

// do is what takes no time.
func (c *caller) do(asked command) (any, error) {
	switch {
	case asked.Endpoints != nil:
		c.service.set(*asked.Endpoints)
		return nil, nil
	case asked.CABundle != nil:
		c.trust(asked.CABundle)
		return nil, nil
	case asked.Halt:
		c.halt()
		return nil, nil
	case asked.Stats:
		return c.stats(), nil
	case asked.Proxy:
		return proxy(c.service)
	}
	return nil, errors.New("no such command")
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "caller:", err)
	os.Exit(1)
}
