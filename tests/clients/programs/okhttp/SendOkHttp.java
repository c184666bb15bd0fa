// Send a form with OkHttp: `java -cp 'JARS/*' SendOkHttp.java URL KEY FILE`.
import java.io.File;
import okhttp3.MediaType;
import okhttp3.MultipartBody;
import okhttp3.OkHttp;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.RequestBody;

public class SendOkHttp {
    public static void main(String[] args) throws Exception {
        if (args[0].equals("--version")) {
            System.out.println(OkHttp.VERSION);
            return;
        }
        File file = new File(args[2]);
        var form = new MultipartBody.Builder().setType(MultipartBody.FORM)
            .addFormDataPart("model", "whisper-1")
            .addFormDataPart("file", file.getName(), RequestBody.create(file, MediaType.get("audio/mpeg")))
            .build();
        var request = new Request.Builder().url(args[0]).header("Authorization", "Bearer " + args[1]).post(form).build();
        try (var answer = new OkHttpClient().newCall(request).execute()) {
            System.out.println(answer.body().string());
        }
        System.exit(0);
    }
}
