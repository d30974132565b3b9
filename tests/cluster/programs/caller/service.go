package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"sync"
	"time"
)

// service is the webhook's Service.  Each new connection goes to any of its endpoints, as by kube-proxy; one that is
// there stays where it is, whatever becomes of the endpoints.
type service struct {
	local net.IP

	mu        sync.Mutex
	endpoints []string
	open      map[string]int // connections by endpoint
	most      map[string]int // the same, when there were most
	dialled   int
	refused   int
}

func (s *service) set(endpoints []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endpoints = slices.Clone(endpoints)
}

func (s *service) any() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.endpoints) == 0 {
		return "", fmt.Errorf("no endpoints available for service \"webhook\"")
	}
	return s.endpoints[rand.IntN(len(s.endpoints))], nil
}

// ResolveEndpoint is the API server's question.
func (s *service) ResolveEndpoint(namespace, name string, port int32) (*url.URL, error) {
	endpoint, err := s.any()
	return &url.URL{Scheme: "https", Host: endpoint}, err
}

// dial has the times of client-go's transport (transport/cache.go).
func (s *service) dial(ctx context.Context, network, endpoint string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	if s.local != nil {
		dialer.LocalAddr = &net.TCPAddr{IP: s.local}
	}
	connection, err := dialer.DialContext(ctx, network, endpoint)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.refused++
		return nil, err
	}
	s.dialled++
	s.open[endpoint]++
	s.most[endpoint] = max(s.most[endpoint], s.open[endpoint])
	return &counted{Conn: connection, closed: func() { s.closed(endpoint) }}, nil
}

func (s *service) closed(endpoint string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[endpoint]--; s.open[endpoint] == 0 {
		delete(s.open, endpoint)
	}
}

// counted is a connection that tells when it is closed.
type counted struct {
	net.Conn
	once   sync.Once
	closed func()
}

func (c *counted) Close() error {
	c.once.Do(c.closed)
	return c.Conn.Close()
}
