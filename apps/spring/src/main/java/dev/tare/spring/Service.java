package dev.tare.spring;

import java.time.DateTimeException;
import java.time.Instant;
import java.time.ZoneId;
import java.time.format.DateTimeFormatter;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.SpringBootVersion;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.web.server.context.WebServerInitializedEvent;
import org.springframework.context.event.EventListener;
import org.springframework.http.HttpStatus;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.server.ResponseStatusException;

/** The sample service of apps/README.md on Spring Boot. */
@SpringBootApplication
@RestController
public class Service {
    private static final String REVISION = "0";
    private static final int MAX_BELOW = 10_000_000;
    private static final DateTimeFormatter LOCAL = DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm:ss");

    record Root(String name, String runtime, String revision) {}

    record Clock(String zone, String local) {}

    record Primes(int below, int count, long checksum) {
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
            return new Primes(n, count, Integer.toUnsignedLong(checksum));
        }
    }

    @GetMapping(path = "/health", produces = "text/plain")
    String health() {
        return "ok";
    }

    @GetMapping("/")
    Root root() {
        var runtime = "Spring Boot %s on Java %s".formatted(SpringBootVersion.getVersion(), Runtime.version());
        return new Root("spring", runtime, REVISION);
    }

    @GetMapping("/primes")
    Primes primes(@RequestParam int below) {
        if (below < 0 || below > MAX_BELOW) {
            throw new ResponseStatusException(HttpStatus.BAD_REQUEST, "below must be from 0 to " + MAX_BELOW);
        }
        return Primes.below(below);
    }

    @GetMapping("/clock")
    Clock clock(@RequestParam String zone, @RequestParam long at) {
        try {
            return new Clock(zone, LOCAL.format(Instant.ofEpochSecond(at).atZone(ZoneId.of(zone))));
        } catch (DateTimeException e) {
            throw new ResponseStatusException(HttpStatus.BAD_REQUEST, e.getMessage(), e);
        }
    }

    @EventListener
    void listening(WebServerInitializedEvent event) {
        // On Linux nanoTime reads CLOCK_MONOTONIC, which container and host share.
        long now = System.nanoTime();
        System.out.printf("listening port=%d monotonic_ns=%d%n", event.getWebServer().getPort(), now);
    }

    public static void main(String[] arguments) {
        SpringApplication.run(Service.class, arguments);
    }
}
