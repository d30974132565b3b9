// Load sends POST requests over TLS 1.3 and HTTP/1.1, each connection the next one as soon as the last is answered.
//
// It reads one job from stdin as JSON and writes what it measured to stdout. In each body, and in each path, the text
// of `marker` becomes another number of the same length, so no two requests are alike; where there is no marker, all
// are. A connection keeps its own copy of each request, written as a whole by one call, and reads answers without
// making garbage, because the generator must be faster than what it measures.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http/httputil"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// marker has the length of the last group of a UUID.
const marker = "############"

type job struct {
	Address     string   `json:"address"`
	CA          string   `json:"ca"` // a file
	Connections int      `json:"connections"`
	Seconds     float64  `json:"seconds"` // how long to send, or …
	Rounds      int      `json:"rounds"`  // … how many requests to send to each target on each connection
	Warmup      float64  `json:"warmup"`  // seconds before those that count
	First       uint64   `json:"first"`   // where the numbers begin
	Status      int      `json:"status"`  // of a good answer
	Headers     []string `json:"headers"`
	Targets     []target `json:"targets"` // a connection sends to all of them, in another order each round
	Samples     int      `json:"samples"` // requests that come back with their answers, of each target
}

type target struct {
	Path string `json:"path"`
	Body string `json:"body"` // a file
}

type figures struct {
	Requests int      `json:"requests"`
	Rate     float64  `json:"rate"` // a second
	P50      float64  `json:"p50"`  // milliseconds
	P99      float64  `json:"p99"`
	Samples  []sample `json:"samples"`

	latencies []time.Duration
}

type sample struct {
	Asked    string `json:"asked"`
	Answered string `json:"answered"`
}

type result struct {
	Targets []*figures `json:"targets"`
	Sent    int        `json:"sent"` // with those that do not count
	Busy    float64    `json:"busy"` // the share of one core that the generator took
}

func main() {
	var asked job
	check(json.NewDecoder(os.Stdin).Decode(&asked))
	pem, err := os.ReadFile(asked.CA)
	check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}}
	host, _, err := net.SplitHostPort(asked.Address)
	check(err)
	config.ServerName = host
	told := result{}
	requests := make([]request, len(asked.Targets))
	for index, target := range asked.Targets {
		requests[index] = newRequest(&asked, target)
		told.Targets = append(told.Targets, &figures{})
	}
	var (
		wait  sync.WaitGroup
		lock  sync.Mutex
		start = time.Now().Add(seconds(asked.Warmup))
		end   = start.Add(seconds(asked.Seconds))
	)
	for number := range asked.Connections {
		wait.Go(func() {
			c := &connection{job: &asked, config: config, number: asked.First + uint64(number)<<32}
			for _, request := range requests {
				c.requests = append(c.requests, request.clone())
			}
			measured := c.send(start, end)
			lock.Lock()
			defer lock.Unlock()
			told.Sent += int(c.number - asked.First - uint64(number)<<32)
			for index, one := range measured {
				told.Targets[index].latencies = append(told.Targets[index].latencies, one.latencies...)
				told.Targets[index].Samples = append(told.Targets[index].Samples, one.Samples...)
			}
		})
	}
	time.Sleep(time.Until(start))
	spent := processor()
	wait.Wait()
	took := time.Since(start).Seconds()
	told.Busy = (processor() - spent).Seconds() / took
	for _, one := range told.Targets {
		one.Requests = len(one.latencies)
		one.Rate = float64(one.Requests) / took
		if slices.Sort(one.latencies); one.Requests > 0 {
			one.P50, one.P99 = one.at(0.5), one.at(0.99)
		}
		one.Samples = one.Samples[:min(asked.Samples, len(one.Samples))]
	}
	check(json.NewEncoder(os.Stdout).Encode(told))
}

func (f *figures) at(share float64) float64 {
	return float64(f.latencies[int(share*float64(len(f.latencies)-1))].Microseconds()) / 1000
}

// request is a whole request as it is sent, and where its markers are.
type request struct {
	whole   []byte
	body    int
	markers []int
}

func newRequest(asked *job, target target) request {
	body, err := os.ReadFile(target.Body)
	check(err)
	var whole bytes.Buffer
	// As an API server writes it.
	fmt.Fprintf(&whole, "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: kube-apiserver-admission\r\n", target.Path, asked.Address)
	fmt.Fprintf(&whole, "Content-Length: %d\r\nAccept: application/json, */*\r\nContent-Type: application/json\r\n", len(body))
	for _, header := range asked.Headers {
		fmt.Fprintf(&whole, "%s\r\n", header)
	}
	fmt.Fprintf(&whole, "Accept-Encoding: gzip\r\n\r\n")
	made := request{body: whole.Len()}
	whole.Write(body)
	made.whole = whole.Bytes()
	for at := 0; ; at += len(marker) {
		next := bytes.Index(made.whole[at:], []byte(marker))
		if next < 0 {
			return made
		}
		at += next
		made.markers = append(made.markers, at)
	}
}

func (r request) clone() request {
	r.whole = slices.Clone(r.whole)
	return r
}

// become puts the digits of *number* in place of the markers.
func (r request) become(number uint64) {
	if len(r.markers) == 0 {
		return
	}
	// Multiplied by an odd constant, neighbours differ in every digit and no number comes twice.
	number = number * 0x9e3779b97f4a7c15 & (1<<48 - 1)
	var digits [len(marker)]byte
	for index := range digits {
		digits[index] = "0123456789abcdef"[number>>(4*index)&15]
	}
	for _, at := range r.markers {
		copy(r.whole[at:], digits[:])
	}
}

type connection struct {
	job      *job
	config   *tls.Config
	requests []request
	number   uint64
	conn     net.Conn
	reader   *bufio.Reader
	answer   []byte
}

func (c *connection) send(start, end time.Time) []figures {
	measured := make([]figures, len(c.requests))
	for index := range measured {
		measured[index].latencies = make([]time.Duration, 0, 1<<18)
	}
	random := rand.New(rand.NewPCG(1, c.number))
	order := random.Perm(len(c.requests))
	for round := 0; ; round++ {
		if len(order) > 1 {
			// What a target leaves behind in a common server hits all others alike.
			random.Shuffle(len(order), func(a, b int) { order[a], order[b] = order[b], order[a] })
		}
		for _, index := range order {
			began := time.Now()
			if c.job.Rounds == 0 && began.After(end) || c.job.Rounds > 0 && round == c.job.Rounds {
				c.hangUp()
				return measured
			}
			request := c.requests[index]
			c.number++
			request.become(c.number)
			if c.conn == nil {
				c.dial()
				began = time.Now()
			}
			_, err := c.conn.Write(request.whole)
			check(err)
			last := c.read()
			ended := time.Now()
			if one := &measured[index]; began.After(start) {
				one.latencies = append(one.latencies, ended.Sub(began))
				if len(one.Samples) < c.job.Samples {
					one.Samples = append(one.Samples, sample{string(request.whole[request.body:]), string(c.answer)})
				}
			}
			if last {
				c.hangUp()
			}
		}
	}
}

func (c *connection) dial() {
	conn, err := tls.Dial("tcp", c.job.Address, c.config)
	check(err)
	c.conn, c.reader = conn, bufio.NewReaderSize(conn, 64*1024)
}

func (c *connection) hangUp() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// read takes the whole answer, and tells whether it was the connection's last.
func (c *connection) read() (last bool) {
	line := c.line()
	status, err := strconv.Atoi(string(line[9:12]))
	check(err)
	length, chunked := 0, false
	for {
		line := c.line()
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			length, err = strconv.Atoi(string(value))
			check(err)
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			chunked = true
		case bytes.EqualFold(name, []byte("connection")):
			last = bytes.EqualFold(value, []byte("close"))
		}
	}
	if chunked {
		c.answer, err = io.ReadAll(httputil.NewChunkedReader(c.reader))
		check(err)
		c.line()
	} else {
		c.answer = slices.Grow(c.answer[:0], length)[:length]
		_, err = io.ReadFull(c.reader, c.answer)
		check(err)
	}
	if status != c.job.Status {
		check(fmt.Errorf("%s answered %d: %s", c.job.Address, status, c.answer))
	}
	return last
}

// line is the next line, without its end; valid until the next call.
func (c *connection) line() []byte {
	line, err := c.reader.ReadSlice('\n')
	check(err)
	return bytes.TrimRight(line, "\r\n")
}

func seconds(count float64) time.Duration {
	return time.Duration(count * float64(time.Second))
}

// processor is the time that this process has had of any core.
func processor() time.Duration {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}
