# Dalli:  ruby ruby_dalli.rb HOST PORT          gem dalli, 3.2 or later
#
# Debian 12 packages 3.0.6, which speaks only the binary protocol, as 3.2 and 4 do unless they are
# told otherwise. This server speaks the text protocol: protocol: :meta, from 5 on the only one.
require 'dalli'

host, port = ARGV

client = Dalli::Client.new("#{host}:#{port}", protocol: :meta, namespace: 'dalli', threadsafe: true,
                           socket_timeout: 1, socket_max_failures: 2)

# Stores what the block makes of the value, and of no other value than the one it replaces.
def update(client, key, &change)
  tries = 0
  loop do
    tries += 1
    return tries if client.cas(key, 60, &change)
  end
end

# What is older than fresh_s is computed anew by one reader; the others get the old meanwhile.
def cached(client, key, fresh_s, stale_s)
  entry = client.get(key)
  return entry[:value] if entry && Time.now.to_f < entry[:fresh_until]
  return entry[:value] if entry && !client.add("#{key}:refresh", 1, 10)

  value = yield
  client.set(key, { value: value, fresh_until: Time.now.to_f + fresh_s }, fresh_s + stale_s)
  client.delete("#{key}:refresh")
  value
end

client.set('greeting', 'hello', 60)
puts "get: #{client.get('greeting')}"

client.multi do
  client.set('apple', 1, 60)
  client.set('banana', 2, 60)
end
found = client.get_multi('apple', 'banana', 'cherry')
puts "multi-get: #{found.sort.map { |pair| pair.join('=') }.join(' ')}"

client.set('list', 'a', 60)
tries = update(client, 'list') do |value|
  client.set('list', 'a,b', 60) if value == 'a' # the first time, somebody else is faster
  "#{value},c"
end
puts "cas loop: #{client.get('list')} after #{tries} tries"

client.delete('visits')
client.incr('visits', 10, 60, 10)
puts "counter: #{client.incr('visits', 5)}"

client.set('short', 'lived', 1)
sleep 0.1 while client.get('short')
puts 'ttl: gone'

cached(client, 'page', 0, 60) { 'old' }
other = nil
mine = cached(client, 'page', 60, 60) do
  other = cached(client, 'page', 60, 60) { 'too many' } # meanwhile another reader asks
  'new'
end
puts "stale: #{other} meanwhile, then #{mine}"
