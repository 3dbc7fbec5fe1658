// gomemcache:  go run go_gomemcache.go HOST PORT     Debian: golang-github-bradfitz-gomemcache-dev
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

const prefix = "go:"

// update stores change(value), made from no other value than the one it replaces.
func update(client *memcache.Client, key string, change func(string) string) (int, error) {
	for tries := 1; ; tries++ {
		item, err := client.Get(key)
		if err != nil {
			return tries, err
		}
		item.Value = []byte(change(string(item.Value)))
		item.Expiration = 60
		err = client.CompareAndSwap(item)
		if err != memcache.ErrCASConflict {
			return tries, err
		}
	}
}

type entry struct {
	Value      string
	FreshUntil time.Time
}

// cached gives a value; what is older than fresh is computed anew by one reader, while the others
// get the old one.
func cached(client *memcache.Client, key string, fresh, stale time.Duration,
	compute func() string) (string, error) {
	var kept entry
	item, err := client.Get(key)
	if err == nil {
		err = json.Unmarshal(item.Value, &kept)
	}
	if err == nil && time.Now().Before(kept.FreshUntil) {
		return kept.Value, nil
	}
	if err == nil {
		lock := &memcache.Item{Key: key + ":refresh", Value: []byte("1"), Expiration: 10}
		if client.Add(lock) == memcache.ErrNotStored {
			return kept.Value, nil
		}
	} else if err != memcache.ErrCacheMiss {
		return "", err
	}
	kept = entry{compute(), time.Now().Add(fresh)}
	value, err := json.Marshal(kept)
	if err != nil {
		return "", err
	}
	err = client.Set(&memcache.Item{Key: key, Value: value,
		Expiration: int32((fresh + stale).Seconds())})
	client.Delete(key + ":refresh")
	return kept.Value, err
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func set(client *memcache.Client, key, value string, ttl int32) {
	must(client.Set(&memcache.Item{Key: prefix + key, Value: []byte(value), Expiration: ttl}))
}

func get(client *memcache.Client, key string) string {
	item, err := client.Get(prefix + key)
	must(err)
	return string(item.Value)
}

func main() {
	client := memcache.New(os.Args[1] + ":" + os.Args[2])
	client.Timeout = 2 * time.Second

	set(client, "greeting", "hello", 60)
	fmt.Println("get:", get(client, "greeting"))

	set(client, "apple", "1", 60)
	set(client, "banana", "2", 60)
	found, err := client.GetMulti([]string{prefix + "apple", prefix + "banana", prefix + "cherry"})
	must(err)
	var pairs []string
	for key, item := range found {
		pairs = append(pairs, strings.TrimPrefix(key, prefix)+"="+string(item.Value))
	}
	sort.Strings(pairs)
	fmt.Println("multi-get:", strings.Join(pairs, " "))

	set(client, "list", "a", 60)
	tries, err := update(client, prefix+"list", func(value string) string {
		if value == "a" { // the first time, somebody else is faster
			set(client, "list", "a,b", 60)
		}
		return value + ",c"
	})
	must(err)
	fmt.Printf("cas loop: %s after %d tries\n", get(client, "list"), tries)

	set(client, "visits", "0", 60)
	_, err = client.Increment(prefix+"visits", 10)
	must(err)
	visits, err := client.Increment(prefix+"visits", 5)
	must(err)
	fmt.Println("counter:", visits)

	set(client, "short", "lived", 1)
	for {
		_, err = client.Get(prefix + "short")
		if err == memcache.ErrCacheMiss {
			break
		}
		must(err)
		time.Sleep(100 * time.Millisecond)
	}
	fmt.Println("ttl: gone")

	_, err = cached(client, prefix+"page", 0, time.Minute, func() string { return "old" })
	must(err)
	var other string
	mine, err := cached(client, prefix+"page", time.Minute, time.Minute, func() string {
		// Meanwhile another reader asks.
		given, err := cached(client, prefix+"page", time.Minute, time.Minute,
			func() string { return "too many" })
		must(err)
		other = given
		return "new"
	})
	must(err)
	fmt.Printf("stale: %s meanwhile, then %s\n", other, mine)
}
