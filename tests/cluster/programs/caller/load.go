package main

import (
	"maps"
	"slices"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
)

// load is how many reviews to send, and how.
type load struct {
	Workers int     `json:"workers"` // reviews under way at once, at most
	Rate    float64 `json:"rate"`    // reviews a second; 0: as fast as they are answered
	Burst   int     `json:"burst"`   // reviews that begin at the same moment, where there is a rate
	Count   int     `json:"count"`   // end after so many; 0: when told
	Seconds float64 `json:"seconds"` // end after so long; 0: when told
	Timeout float64 `json:"timeout"` // timeoutSeconds of the webhook
	Fresh   float64 `json:"fresh"`   // close idle connections every so many seconds, so that hands are shaken; 0: never
}

// caller is the API server.
type caller struct {
	service   *service
	client    *client
	templates []*admissionv1.AdmissionReview

	mu     sync.Mutex
	bundle []byte
	halted chan struct{}
	loads  []*figures
}

func (c *caller) trust(bundle []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bundle = bundle
}

func (c *caller) trusted() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bundle
}

// begin registers what is about to run; the channel is closed when it is to end.
func (c *caller) begin() (*figures, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.halted == nil {
		c.halted = make(chan struct{})
	}
	figures := newFigures()
	c.loads = append(c.loads, figures)
	return figures, c.halted
}

func (c *caller) end(over *figures) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loads = slices.DeleteFunc(c.loads, func(each *figures) bool { return each == over })
}

func (c *caller) halt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.halted != nil {
		close(c.halted)
		c.halted = nil
	}
}

// load sends reviews until all are answered or lost.
func (c *caller) load(asked load) (any, error) {
	figures, halted := c.begin()
	defer c.end(figures)
	turns := make(chan int)
	go func() {
		defer close(turns)
		asked.pace(turns, halted)
	}()
	over := make(chan struct{})
	defer close(over)
	if asked.Fresh > 0 {
		go c.freshen(seconds(asked.Fresh), over)
	}
	var workers sync.WaitGroup
	for range max(asked.Workers, 1) {
		workers.Go(func() {
			for turn := range turns {
				c.review(c.client, turn, asked.Timeout, figures)
			}
		})
	}
	workers.Wait()
	return figures.tell(), nil
}

// freshen closes connections that are idle, again and again.
func (c *caller) freshen(every time.Duration, over <-chan struct{}) {
	for {
		select {
		case <-time.After(every):
			c.client.closeIdle(c.trusted())
		case <-over:
			return
		}
	}
}

// pace gives each review its turn.
func (l load) pace(turns chan<- int, halted <-chan struct{}) {
	var over <-chan time.Time
	if l.Seconds > 0 {
		over = time.After(seconds(l.Seconds))
	}
	start := time.Now()
	for turn := 0; l.Count == 0 || turn < l.Count; turn++ {
		if l.Rate > 0 {
			group := turn - turn%max(l.Burst, 1)
			select {
			case <-time.After(time.Until(start.Add(seconds(float64(group) / l.Rate)))):
			case <-halted:
				return
			case <-over:
				return
			}
		}
		select {
		case turns <- turn:
		case <-halted:
			return
		case <-over:
			return
		}
	}
}

// review sends one.
func (c *caller) review(client *client, turn int, timeout float64, figures *figures) {
	call := &call{figures: figures}
	template := c.templates[turn%len(c.templates)]
	start := time.Now()
	result, err := client.post(c.trusted(), template, seconds(timeout), call)
	figures.done(call, time.Since(start), result, err)
}

func seconds(count float64) time.Duration {
	return time.Duration(count * float64(time.Second))
}

// stats are the figures of what is under way, and the connections.
func (c *caller) stats() any {
	c.mu.Lock()
	defer c.mu.Unlock()
	loads := []told{}
	for _, each := range c.loads {
		loads = append(loads, each.tell())
	}
	c.service.mu.Lock()
	defer c.service.mu.Unlock()
	return map[string]any{
		"loads": loads, "open": maps.Clone(c.service.open), "most": maps.Clone(c.service.most),
		"dialled": c.service.dialled, "refused": c.service.refused,
	}
}
