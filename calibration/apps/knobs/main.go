// A program whose cost is known: it fills ALLOCATE bytes and waits DELAY (a duration) before it listens, and answers
// every request with "ok". On bare system calls, so that little is compiled.
package main

import (
	"bytes"
	"strconv"
	"syscall"
	"time"
)

const (
	revision = "0"
	port     = 8080
	page     = 4096
	answer   = "HTTP/1.1 200 OK\r\nX-Revision: " + revision + "\r\nContent-Length: 2\r\n\r\nok"
)

var (
	kept []byte
	end  = []byte("\r\n\r\n")
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// serve answers until the client hangs up: the side that hangs up first keeps the port.
func serve(connection int) {
	defer syscall.Close(connection)
	var received []byte
	piece := make([]byte, page)
	for {
		n, err := syscall.Read(connection, piece)
		if err != nil || n <= 0 {
			return
		}
		received = append(received, piece[:n]...)
		for {
			at := bytes.Index(received, end)
			if at < 0 {
				break
			}
			received = received[at+len(end):]
			if _, err := syscall.Write(connection, []byte(answer)); err != nil {
				return
			}
		}
	}
}

func main() {
	if text, found := syscall.Getenv("ALLOCATE"); found {
		size, err := strconv.Atoi(text)
		must(err)
		kept = make([]byte, size)
		for i := 0; i < size; i += page {
			kept[i] = 1
		}
	}
	if text, found := syscall.Getenv("DELAY"); found {
		delay, err := time.ParseDuration(text)
		must(err)
		time.Sleep(delay)
	}
	listener, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	must(err)
	must(syscall.SetsockoptInt(listener, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1))
	must(syscall.Bind(listener, &syscall.SockaddrInet4{Port: port}))
	must(syscall.Listen(listener, 128))
	for {
		connection, _, err := syscall.Accept(listener)
		if err == syscall.EINTR || err == syscall.ECONNABORTED {
			continue
		}
		must(err)
		go serve(connection)
	}
}
