<?php
// PHP's memcached, on libmemcached:  php php_memcached.php HOST PORT          Debian: php-memcached
declare(strict_types=1);

[, $host, $port] = $argv;

/** Named, so that its connections outlive a request. Times are in milliseconds. */
function connect(string $host, int $port): Memcached
{
    $client = new Memcached('recipe');
    if (!$client->getServerList()) {
        $client->setOptions([
            Memcached::OPT_PREFIX_KEY => 'php:',
            Memcached::OPT_TCP_NODELAY => true,
            Memcached::OPT_CONNECT_TIMEOUT => 1000,
            Memcached::OPT_POLL_TIMEOUT => 2000, // how long a server may say nothing
            Memcached::OPT_COMPRESSION => false, // the server's part; see README.md
        ]);
        $client->addServer($host, $port);
    }
    return $client;
}

/** Stores $change(value), made from no other value than the one it replaces. */
function update(Memcached $client, string $key, callable $change): int
{
    $tries = 0;
    do {
        $tries++;
        $item = $client->get($key, null, Memcached::GET_EXTENDED);
    } while (!$client->cas($item['cas'], $key, $change($item['value']), 60));
    return $tries;
}

/** What is older than $fresh is computed anew by one reader; the others get the old meanwhile. */
function cached(Memcached $client, string $key, int $fresh, int $stale, callable $compute): mixed
{
    $entry = $client->get($key);
    if ($entry && time() < $entry['fresh_until']) {
        return $entry['value'];
    }
    if ($entry && !$client->add("$key:refresh", 1, 10)) {
        return $entry['value'];
    }
    $value = $compute();
    $client->set($key, ['value' => $value, 'fresh_until' => time() + $fresh], $fresh + $stale);
    $client->delete("$key:refresh");
    return $value;
}

$client = connect($host, (int) $port);

$client->set('greeting', 'hello', 60);
echo 'get: ', $client->get('greeting'), "\n";

$client->setMulti(['apple' => 1, 'banana' => 2], 60);
$found = $client->getMulti(['apple', 'banana', 'cherry']);
ksort($found);
echo 'multi-get: ', http_build_query($found, '', ' '), "\n";

$client->set('list', 'a', 60);
$tries = update($client, 'list', function (string $value) use ($client): string {
    if ($value === 'a') { // the first time, somebody else is faster
        $client->set('list', 'a,b', 60);
    }
    return "$value,c";
});
echo 'cas loop: ', $client->get('list'), " after $tries tries\n";

$client->delete('visits');
$client->add('visits', 0, 60);
$client->increment('visits', 10);
echo 'counter: ', $client->increment('visits', 5), "\n";

$client->set('short', 'lived', 1);
while ($client->get('short') !== false) {
    usleep(100000);
}
echo "ttl: gone\n";

cached($client, 'page', 0, 60, fn() => 'old');
$other = null;
$mine = cached($client, 'page', 60, 60, function () use ($client, &$other): string {
    $other = cached($client, 'page', 60, 60, fn() => 'too many'); // meanwhile another reader asks
    return 'new';
});
echo "stale: $other meanwhile, then $mine\n";
