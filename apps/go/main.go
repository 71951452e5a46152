// The sample service of apps/README.md on Go's standard library alone.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

const (
	revision = "0"
	maxBelow = 10_000_000
)

// monotonic returns CLOCK_MONOTONIC in nanoseconds. time.Now's own monotonic reading counts from the start of
// the process, so it cannot be compared with a clock outside.
func monotonic() int64 {
	const clockMonotonic = 1
	var ts syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&ts)), 0)
	return ts.Nano()
}

// primes counts the primes below n with a sieve of Eratosthenes and folds them into a checksum.
func primes(n int) (count int, checksum uint32) {
	composite := make([]bool, n)
	for i := 2; i < n; i++ {
		if composite[i] {
			continue
		}
		count++
		checksum = checksum*31 + uint32(i)
		for j := i * i; j < n; j += i {
			composite[j] = true
		}
	}
	return count, checksum
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		log.Print(err)
	}
}

func badRequest(w http.ResponseWriter, reason string) {
	answer(w, http.StatusBadRequest, map[string]any{"error": reason})
}

func handleHealth(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprint(w, "ok")
}

func handleRoot(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{"name": "go", "runtime": runtime.Version(), "revision": revision})
}

func handlePrimes(w http.ResponseWriter, r *http.Request) {
	below, err := strconv.Atoi(r.URL.Query().Get("below"))
	if err != nil || below < 0 || below > maxBelow {
		badRequest(w, fmt.Sprintf("below must be a whole number from 0 to %d", maxBelow))
		return
	}
	count, checksum := primes(below)
	answer(w, http.StatusOK, map[string]any{"below": below, "count": count, "checksum": checksum})
}

func handleClock(w http.ResponseWriter, r *http.Request) {
	at, err := strconv.ParseInt(r.URL.Query().Get("at"), 10, 64)
	if err != nil {
		badRequest(w, "at must be Unix seconds")
		return
	}
	zone, err := time.LoadLocation(r.URL.Query().Get("zone"))
	if err != nil {
		badRequest(w, "unknown time zone")
		return
	}
	local := time.Unix(at, 0).In(zone).Format(time.DateTime)
	answer(w, http.StatusOK, map[string]any{"zone": zone.String(), "local": local})
}

func run() error {
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", handleHealth)
	mux.HandleFunc("GET /{$}", handleRoot)
	mux.HandleFunc("GET /primes", handlePrimes)
	mux.HandleFunc("GET /clock", handleClock)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		return err
	}
	fmt.Printf("listening port=%s monotonic_ns=%d\n", port, monotonic())

	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(grace); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}
