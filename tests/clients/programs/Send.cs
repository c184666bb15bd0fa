// Send a form with HttpClient and MultipartFormDataContent: `mcs -r:System.Net.Http Send.cs`, `mono Send.exe URL KEY FILE`.
using System;
using System.IO;
using System.Net.Http;
using System.Net.Http.Headers;

public static class Send
{
    public static void Main(string[] args)
    {
        var client = new HttpClient();
        client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", args[1]);
        var form = new MultipartFormDataContent();
        form.Add(new StringContent("whisper-1"), "model");
        var file = new StreamContent(File.OpenRead(args[2]));
        file.Headers.ContentType = new MediaTypeHeaderValue("audio/mpeg");
        form.Add(file, "file", Path.GetFileName(args[2]));
        var answer = client.PostAsync(args[0], form).Result;
        Console.WriteLine(answer.Content.ReadAsStringAsync().Result);
    }
}
