package main

import (
	"math/rand/v2"
	"sync"
	"time"
)

// race is the keep-alive race: many connections, on each of which a review is sent, then nothing, then the next
// review just when somebody might be closing it.
type race struct {
	Connections int     `json:"connections"`
	Idle        float64 `json:"idle"`   // seconds of silence
	Spread      float64 `json:"spread"` // seconds more or less
	Rounds      int     `json:"rounds"`
	Timeout     float64 `json:"timeout"`
}

// shaking at once at most, at the beginning: the race is not about that.
const shaking = 16

func (c *caller) race(groups []race) (any, error) {
	found := make([]told, len(groups))
	turns := make(chan struct{}, shaking)
	var all sync.WaitGroup
	for number, group := range groups {
		figures, halted := c.begin()
		var connections sync.WaitGroup
		for range group.Connections {
			client, err := newClient(c.service) // with a pool of its own
			if err != nil {
				return nil, err
			}
			connections.Go(func() { c.runUp(client, group, figures, turns, halted) })
		}
		all.Go(func() {
			connections.Wait()
			c.end(figures)
			found[number] = figures.tell()
		})
	}
	all.Wait()
	return found, nil
}

func (c *caller) runUp(
	client *client, group race, figures *figures, turns chan struct{}, halted <-chan struct{},
) {
	turns <- struct{}{}
	c.review(client, 0, group.Timeout, figures)
	<-turns
	for round := range group.Rounds {
		select {
		case <-time.After(seconds(group.Idle + group.Spread*(2*rand.Float64()-1))):
			c.review(client, round+1, group.Timeout, figures)
		case <-halted:
			return
		}
	}
}
