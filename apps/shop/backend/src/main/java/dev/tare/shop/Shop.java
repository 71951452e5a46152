package dev.tare.shop;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.SQLException;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The back end of the shop: serves the built front end and a JSON API over a MariaDB. It listens once the database
 * answers, so an answer proves both.
 */
public final class Shop {
    private static final Path FRONT_END = Path.of(System.getenv().getOrDefault("STATIC", "/app/static"));
    private static final Pattern NEW_PRODUCT =
            Pattern.compile("\\{\\s*\"name\"\\s*:\\s*\"([^\"\\\\]{1,100})\"\\s*,\\s*\"cents\"\\s*:\\s*(\\d{1,9})\\s*}");
    private static final Map<String, String> TYPES = Map.of(
            "html", "text/html; charset=utf-8", "js", "text/javascript", "css", "text/css", "svg", "image/svg+xml");

    private final Products products;

    private Shop(Products products) {
        this.products = products;
    }

    private record Answer(int status, String type, byte[] body) {
        static Answer json(int status, String body) {
            return new Answer(status, "application/json", body.getBytes(StandardCharsets.UTF_8));
        }

        static Answer notFound() {
            return json(404, "{\"error\": \"not found\"}");
        }
    }

    private Answer products(HttpExchange exchange) throws IOException, SQLException {
        return switch (exchange.getRequestMethod()) {
            case "GET" -> Answer.json(200, products.json());
            case "POST" -> {
                var text = new String(exchange.getRequestBody().readNBytes(4096), StandardCharsets.UTF_8);
                Matcher match = NEW_PRODUCT.matcher(text);
                if (!match.matches()) {
                    yield Answer.json(400, "{\"error\": \"a product is {\\\"name\\\": text, \\\"cents\\\": number}\"}");
                }
                products.add(match.group(1), Integer.parseInt(match.group(2)));
                yield Answer.json(201, "{\"added\": \"" + match.group(1) + "\"}");
            }
            default -> Answer.json(405, "{\"error\": \"method not allowed\"}");
        };
    }

    /** A file of the built front end; paths that lead out of its folder are not found. */
    private static Answer file(String path) throws IOException {
        var file = FRONT_END.resolve(path.equals("/") ? "index.html" : path.substring(1)).normalize();
        if (!file.startsWith(FRONT_END) || !Files.isRegularFile(file)) {
            return Answer.notFound();
        }
        var name = file.getFileName().toString();
        var type = TYPES.getOrDefault(name.substring(name.lastIndexOf('.') + 1), "application/octet-stream");
        return new Answer(200, type, Files.readAllBytes(file));
    }

    private Answer answer(HttpExchange exchange) throws IOException {
        try {
            var path = exchange.getRequestURI().getPath();
            return switch (path) {
                case "/health" -> new Answer(200, "text/plain", "ok".getBytes(StandardCharsets.UTF_8));
                case "/api/products" -> products(exchange);
                default -> file(path);
            };
        } catch (SQLException e) {
            return Answer.json(503, "{\"error\": \"the database does not answer\"}");
        }
    }

    private void handle(HttpExchange exchange) throws IOException {
        try (exchange) {
            var answer = answer(exchange);
            exchange.getResponseHeaders().set("Content-Type", answer.type);
            exchange.sendResponseHeaders(answer.status, answer.body.length);
            exchange.getResponseBody().write(answer.body);
        }
    }

    public static void main(String[] arguments) throws IOException, SQLException, InterruptedException {
        int port = Integer.parseInt(System.getenv().getOrDefault("PORT", "8080"));
        var shop = new Shop(Products.open(System.getenv().getOrDefault("DATABASE", "127.0.0.1:3306")));
        var server = HttpServer.create(new InetSocketAddress(port), 0);
        server.setExecutor(Executors.newVirtualThreadPerTaskExecutor());
        server.createContext("/", shop::handle);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> server.stop(5)));
        server.start();
        // On Linux nanoTime reads CLOCK_MONOTONIC, which container and host share.
        System.out.printf("listening port=%d monotonic_ns=%d%n", port, System.nanoTime());
    }
}
