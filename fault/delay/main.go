// Command delay holds packets back that a rule of the node's packet filter sends to its
// queue (the target NFQUEUE), each for the latency and a random part of the jitter.
// Packets stay in order and none is changed. When the program ends, the kernel drops
// those that it holds, and rules with --queue-bypass let all later ones pass.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/florianl/go-nfqueue/v2"
	"github.com/mdlayher/netlink"
)

// room is how many packets may be held at a time; what is beyond passes at once.
const room = 1 << 14

// packet is one that is held until it is due.
type packet struct {
	id  uint32
	due time.Time
}

func main() {
	queue := flag.Uint("queue", 0, "number of the queue")
	latency := flag.Duration("latency", 0, "how long each packet is held at least")
	jitter := flag.Duration("jitter", 0, "how much longer it may be held")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, uint16(*queue), *latency, *jitter); err != nil {
		log.Fatal("delay: ", err)
	}
}

func run(ctx context.Context, queue uint16, latency, jitter time.Duration) error {
	kernel, err := nfqueue.Open(&nfqueue.Config{
		NfQueue: queue, MaxQueueLen: room, Copymode: nfqueue.NfQnlCopyMeta, AfFamily: syscall.AF_INET,
		// A packet that the kernel will split later is held as a whole.
		Flags: nfqueue.NfQaCfgFlagFailOpen | nfqueue.NfQaCfgFlagGSO,
	})
	if err != nil {
		return fmt.Errorf("open the kernel's packet queues: %w", err)
	}
	defer kernel.Close()
	// A burst that this program is not told of in time must not end it.
	if err := kernel.SetOption(netlink.NoENOBUFS, true); err != nil {
		return err
	}
	held := make(chan packet, room)
	hold := line(latency, jitter, rand.N[time.Duration])
	failed := make(chan error, 1)
	err = kernel.RegisterWithErrorFunc(ctx, func(a nfqueue.Attribute) int {
		held <- packet{*a.PacketID, hold(time.Now())}
		return 0
	}, func(err error) int {
		failed <- err
		return 1
	})
	if err != nil {
		return fmt.Errorf("take queue %d: %w", queue, err)
	}
	if err := ready(); err != nil {
		return err
	}
	return release(ctx, held, failed, func(id uint32) error { return kernel.SetVerdict(id, nfqueue.NfAccept) })
}

// line says of packets that arrive one after another until when each is held: none
// overtakes another.
func line(latency, jitter time.Duration, random func(time.Duration) time.Duration) func(arrived time.Time) time.Time {
	var last time.Time
	return func(arrived time.Time) time.Time {
		due := arrived.Add(latency)
		if jitter > 0 {
			due = due.Add(random(jitter))
		}
		if due.Before(last) {
			due = last
		}
		last = due
		return due
	}
}

// release lets each packet go when it is due, until ctx ends.
func release(ctx context.Context, held <-chan packet, failed <-chan error, let func(id uint32) error) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("read the queue: %w", err)
		case p := <-held:
			timer := time.NewTimer(time.Until(p.due))
			select {
			case <-ctx.Done():
				return nil
			case <-timer.C:
			}
			if err := let(p.id); err != nil {
				return fmt.Errorf("release a packet: %w", err)
			}
		}
	}
}

// ready tells systemd, if that started us and wants to know.
func ready() error {
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return nil
	}
	conn, err := net.Dial("unixgram", socket)
	if err != nil {
		return fmt.Errorf("tell systemd: %w", err)
	}
	defer conn.Close()
	_, err = conn.Write([]byte("READY=1"))
	return err
}
