// Send a form with java.net.http.HttpClient, which has no form writer of its own: `java Send.java URL KEY FILE`.
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Path;

public class Send {
    public static void main(String[] args) throws Exception {
        if (args[0].equals("--version")) {
            System.out.println("OpenJDK " + Runtime.version());
            return;
        }
        Path file = Path.of(args[2]);
        String boundary = "----=_Part:" + System.nanoTime();
        String head = "--" + boundary + "\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n"
            + "--" + boundary + "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"" + file.getFileName()
            + "\"\r\nContent-Type: audio/mpeg\r\n\r\n";
        var body = BodyPublishers.concat(
            BodyPublishers.ofString(head), BodyPublishers.ofFile(file), BodyPublishers.ofString("\r\n--" + boundary + "--\r\n"));
        var request = HttpRequest.newBuilder(URI.create(args[0]))
            .header("Authorization", "Bearer " + args[1])
            .header("Content-Type", "multipart/form-data; boundary=" + boundary)
            .POST(body).build();
        System.out.println(HttpClient.newHttpClient().send(request, BodyHandlers.ofString()).body());
    }
}
