# Cache::Memcached::Fast:  perl perl_fast.pl HOST PORT     Debian: libcache-memcached-fast-perl
use strict;
use warnings;
use feature 'say';
use Cache::Memcached::Fast;
use Time::HiRes qw(sleep time);

my ($host, $port) = @ARGV;
my $client = Cache::Memcached::Fast->new({
    servers         => ["$host:$port"],
    namespace       => 'perl:',
    connect_timeout => 1,
    io_timeout      => 2,
    ketama_points   => 150,    # for more than one server: README.md
});

# Stores $change->(value), made from no other value than the one it replaces.
sub update {
    my ($key, $change) = @_;
    for (my $tries = 1; ; $tries++) {
        my ($token, $value) = @{ $client->gets($key) };
        return $tries if $client->cas($key, $token, $change->($value), 60);
    }
}

# What is older than $fresh_s is computed anew by one reader; the others get the old meanwhile.
sub cached {
    my ($key, $fresh_s, $stale_s, $compute) = @_;
    my $entry = $client->get($key);
    return $entry->{value} if $entry && time < $entry->{fresh_until};
    return $entry->{value} if $entry && !$client->add("$key:refresh", 1, 10);
    my $value = $compute->();
    $client->set($key, { value => $value, fresh_until => time + $fresh_s }, $fresh_s + $stale_s);
    $client->delete("$key:refresh");
    return $value;
}

$client->set('greeting', 'hello', 60);
say 'get: ', $client->get('greeting');

$client->set_multi(['apple', 1, 60], ['banana', 2, 60]);
my $found = $client->get_multi(qw(apple banana cherry));
say 'multi-get: ', join ' ', map { "$_=$found->{$_}" } sort keys %$found;

$client->set('list', 'a', 60);
my $tries = update('list', sub {
    my ($value) = @_;
    $client->set('list', 'a,b', 60) if $value eq 'a';    # the first time, somebody is faster
    return "$value,c";
});
say 'cas loop: ', $client->get('list'), " after $tries tries";

$client->delete('visits');
$client->add('visits', 0, 60);
$client->incr('visits', 10);
say 'counter: ', $client->incr('visits', 5);

$client->set('short', 'lived', 1);
sleep 0.1 while $client->get('short');
say 'ttl: gone';

cached('page', 0, 60, sub { 'old' });
my $other;
my $mine = cached('page', 60, 60, sub {
    $other = cached('page', 60, 60, sub { 'too many' });    # meanwhile another reader asks
    return 'new';
});
say "stale: $other meanwhile, then $mine";
