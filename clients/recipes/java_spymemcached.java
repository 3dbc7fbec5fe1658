// spymemcached:  java -cp /usr/share/java/spymemcached.jar java_spymemcached.java HOST PORT
// Debian: libspymemcached-java, default-jdk-headless
import java.net.InetSocketAddress;
import java.util.List;
import java.util.TreeMap;
import java.util.function.Supplier;
import java.util.function.UnaryOperator;
import java.util.logging.Level;
import java.util.logging.Logger;
import java.util.stream.Collectors;
import net.spy.memcached.CASResponse;
import net.spy.memcached.CASValue;
import net.spy.memcached.ConnectionFactoryBuilder;
import net.spy.memcached.ConnectionFactoryBuilder.Locator;
import net.spy.memcached.DefaultHashAlgorithm;
import net.spy.memcached.FailureMode;
import net.spy.memcached.MemcachedClient;

class Recipe {
    private static final String PREFIX = "java:";

    /** One client for all threads: it has a thread of its own that talks to the servers. */
    static MemcachedClient connect(String host, int port) throws Exception {
        System.setProperty(
                "net.spy.log.LoggerImpl", "net.spy.memcached.compat.log.SunLogger");
        Logger.getLogger("net.spy.memcached").setLevel(Level.WARNING);
        return new MemcachedClient(
                new ConnectionFactoryBuilder()
                        .setOpTimeout(2000)
                        .setUseNagleAlgorithm(false)
                        .setLocatorType(Locator.CONSISTENT)
                        .setHashAlg(DefaultHashAlgorithm.KETAMA_HASH)
                        .setFailureMode(FailureMode.Redistribute)
                        .build(),
                List.of(new InetSocketAddress(host, port)));
    }

    /** Stores change(value), made from no other value than the one it replaces. */
    static int update(MemcachedClient client, String key, UnaryOperator<Object> change) {
        for (int tries = 1; ; tries++) {
            CASValue<Object> item = client.gets(key);
            Object value = change.apply(item.getValue());
            if (client.cas(key, item.getCas(), 60, value) == CASResponse.OK) {
                return tries;
            }
        }
    }

    /** What is too old is computed anew by one reader; the others get the old meanwhile. */
    static String cached(
            MemcachedClient client, String key, int freshS, int staleS, Supplier<String> compute)
            throws Exception {
        String entry = (String) client.get(key); // how long it is fresh, a blank, the value
        if (entry != null) {
            String[] parts = entry.split(" ", 2);
            if (System.currentTimeMillis() < Long.parseLong(parts[0])
                    || !client.add(key + ":refresh", 10, 1).get()) {
                return parts[1];
            }
        }
        String value = compute.get();
        long freshUntil = System.currentTimeMillis() + freshS * 1000L;
        client.set(key, freshS + staleS, freshUntil + " " + value).get();
        client.delete(key + ":refresh").get();
        return value;
    }

    public static void main(String[] args) throws Exception {
        MemcachedClient client = connect(args[0], Integer.parseInt(args[1]));

        client.set(PREFIX + "greeting", 60, "hello").get();
        System.out.println("get: " + client.get(PREFIX + "greeting"));

        client.set(PREFIX + "apple", 60, 1).get();
        client.set(PREFIX + "banana", 60, 2).get();
        var found = new TreeMap<>(
                client.getBulk(PREFIX + "apple", PREFIX + "banana", PREFIX + "cherry"));
        System.out.println("multi-get: " + found.entrySet().stream()
                .map(each -> each.getKey().substring(PREFIX.length()) + "=" + each.getValue())
                .collect(Collectors.joining(" ")));

        client.set(PREFIX + "list", 60, "a").get();
        int tries = update(client, PREFIX + "list", value -> {
            if (value.equals("a")) { // the first time, somebody else is faster
                client.set(PREFIX + "list", 60, "a,b");
            }
            return value + ",c";
        });
        System.out.printf("cas loop: %s after %d tries%n", client.get(PREFIX + "list"), tries);

        client.delete(PREFIX + "visits").get();
        client.incr(PREFIX + "visits", 10, 10, 60); // the third: what it begins with
        System.out.println("counter: " + client.incr(PREFIX + "visits", 5));

        client.set(PREFIX + "short", 1, "lived").get();
        while (client.get(PREFIX + "short") != null) {
            Thread.sleep(100);
        }
        System.out.println("ttl: gone");

        cached(client, PREFIX + "page", 0, 60, () -> "old");
        String[] other = new String[1];
        String mine = cached(client, PREFIX + "page", 60, 60, () -> {
            try { // meanwhile another reader asks
                other[0] = cached(client, PREFIX + "page", 60, 60, () -> "too many");
            } catch (Exception error) {
                throw new IllegalStateException(error);
            }
            return "new";
        });
        System.out.printf("stale: %s meanwhile, then %s%n", other[0], mine);
        client.shutdown();
    }
}
