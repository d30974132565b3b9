package main

import (
	"context"
	"io"
	"net"
	"time"
)

// proxy listens on a port of loopback, and takes each new connection to any endpoint of the service: for an API server
// that is told a URL, what the Service is for one that is told a Service.
func proxy(service *service) (any, error) {
	listening, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			near, err := listening.Accept()
			if err != nil {
				return
			}
			go forward(near.(*net.TCPConn), service)
		}
	}()
	return listening.Addr().(*net.TCPAddr).Port, nil
}

func forward(near *net.TCPConn, service *service) {
	defer near.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	endpoint, err := service.any()
	if err != nil {
		near.SetLinger(0)
		return
	}
	far, err := service.dial(ctx, "tcp", endpoint)
	if err != nil {
		near.SetLinger(0)
		return
	}
	defer far.Close()
	over := make(chan struct{}, 2)
	pass := func(to, from net.Conn) {
		io.Copy(to, from)
		over <- struct{}{}
	}
	go pass(far, near)
	go pass(near, far)
	<-over // whoever hangs up first hangs up for both
}
