package tare;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpHandler;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.time.DateTimeException;
import java.time.Instant;
import java.time.ZoneId;
import java.time.format.DateTimeFormatter;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.Executors;

/** The sample service of apps/README.md on the JDK's own HTTP server. */
public final class Main {
    private static final String REVISION = "0";
    private static final int MAX_BELOW = 10_000_000;
    private static final DateTimeFormatter LOCAL = DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm:ss");

    private Main() {}

    private record Answer(int status, String type, String body) {
        static Answer json(String format, Object... values) {
            return new Answer(200, "application/json", format.formatted(values));
        }

        static Answer badRequest(String reason) {
            return new Answer(400, "application/json", "{\"error\": \"%s\"}".formatted(reason));
        }
    }

    @FunctionalInterface
    private interface Endpoint {
        Answer answer(Map<String, String> query);
    }

    private record Primes(int count, long checksum) {
        /** Counts the primes below n with a sieve of Eratosthenes and folds them into a checksum of 32 bits. */
        static Primes below(int n) {
            var composite = new boolean[n];
            int count = 0;
            int checksum = 0;
            for (int i = 2; i < n; i++) {
                if (composite[i]) {
                    continue;
                }
                count++;
                checksum = checksum * 31 + i;
                for (long j = (long) i * i; j < n; j += i) {
                    composite[(int) j] = true;
                }
            }
            return new Primes(count, Integer.toUnsignedLong(checksum));
        }
    }

    private static Answer health(Map<String, String> query) {
        return new Answer(200, "text/plain", "ok");
    }

    private static Answer root(Map<String, String> query) {
        var body = "{\"name\": \"java\", \"runtime\": \"Java %s\", \"revision\": \"%s\"}";
        return Answer.json(body, Runtime.version(), REVISION);
    }

    private static Answer primes(Map<String, String> query) {
        int below;
        try {
            below = Integer.parseInt(query.getOrDefault("below", ""));
        } catch (NumberFormatException e) {
            below = -1;
        }
        if (below < 0 || below > MAX_BELOW) {
            return Answer.badRequest("below must be a whole number from 0 to " + MAX_BELOW);
        }
        var primes = Primes.below(below);
        return Answer.json("{\"below\": %d, \"count\": %d, \"checksum\": %d}", below, primes.count, primes.checksum);
    }

    private static Answer clock(Map<String, String> query) {
        try {
            var zone = ZoneId.of(query.getOrDefault("zone", ""));
            var at = Instant.ofEpochSecond(Long.parseLong(query.getOrDefault("at", "")));
            return Answer.json("{\"zone\": \"%s\", \"local\": \"%s\"}", zone, LOCAL.format(at.atZone(zone)));
        } catch (DateTimeException | NumberFormatException e) {
            return Answer.badRequest("zone must be a time zone and at Unix seconds");
        }
    }

    private static Map<String, String> query(HttpExchange exchange) {
        var query = new HashMap<String, String>();
        var raw = exchange.getRequestURI().getRawQuery();
        for (var pair : raw == null ? new String[0] : raw.split("&")) {
            var parts = pair.split("=", 2);
            query.put(parts[0], parts.length == 1 ? "" : URLDecoder.decode(parts[1], StandardCharsets.UTF_8));
        }
        return query;
    }

    private static Answer route(HttpExchange exchange, String path, Endpoint endpoint) {
        if (!exchange.getRequestURI().getPath().equals(path)) { // a context takes every path that begins as its own
            return new Answer(404, "text/plain", "not found");
        }
        if (!exchange.getRequestMethod().equals("GET")) {
            return new Answer(405, "text/plain", "method not allowed");
        }
        return endpoint.answer(query(exchange));
    }

    private static HttpHandler handler(String path, Endpoint endpoint) {
        return exchange -> {
            try (exchange) {
                var answer = route(exchange, path, endpoint);
                var body = answer.body.getBytes(StandardCharsets.UTF_8);
                exchange.getResponseHeaders().set("Content-Type", answer.type);
                exchange.sendResponseHeaders(answer.status, body.length);
                exchange.getResponseBody().write(body);
            }
        };
    }

    public static void main(String[] arguments) throws IOException {
        int port = Integer.parseInt(System.getenv().getOrDefault("PORT", "8080"));
        var server = HttpServer.create(new InetSocketAddress(port), 0);
        server.setExecutor(Executors.newVirtualThreadPerTaskExecutor());
        server.createContext("/", handler("/", Main::root));
        server.createContext("/health", handler("/health", Main::health));
        server.createContext("/primes", handler("/primes", Main::primes));
        server.createContext("/clock", handler("/clock", Main::clock));
        Runtime.getRuntime().addShutdownHook(new Thread(() -> server.stop(5)));
        server.start();
        // On Linux nanoTime reads CLOCK_MONOTONIC, which container and host share.
        System.out.printf("listening port=%d monotonic_ns=%d%n", port, System.nanoTime());
    }
}
