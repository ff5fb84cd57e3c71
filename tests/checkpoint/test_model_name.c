/* What a model's name means, in made-up stores in a temporary folder; manifests of Ollama's. */
#include "checkpoint/model_name.h"
#include "checkpoint/ollama_store.h"
#include "unit.h"

#include <unistd.h>

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define COMMIT "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define OTHER_COMMIT "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define MEDIA "application/vnd.ollama.image."
#define LAYER(type, digest, size)                                                                  \
    "{\"mediaType\": \"" MEDIA type "\", \"digest\": \"" digest "\", \"size\": " size "}"

static char folder[] = "/tmp/sw-names-XXXXXX";

static void run(const char *command)
{
    CU_ASSERT_EQUAL_FATAL(system(command), 0);
}

/* Writes a file, with the folders to it. */
static void put(const char *path, const char *text)
{
    char command[600];
    snprintf(command, sizeof command, "mkdir -p \"$(dirname '%s')\"", path);
    run(command);
    FILE *f = fopen(path, "w");
    if (!f || fputs(text, f) < 0 || fclose(f) != 0)
        abort();
}

static void finds(const char *name, const char *expected, const char *note)
{
    struct sw_strbuf notes = {0};
    char *path;
    const enum sw_status status = sw_model_name_find(name, &path, &notes);
    if (status != SW_OK)
        printf("%s: %s\n", name, sw_error_message());
    CU_ASSERT_EQUAL(status, SW_OK);
    if (status == SW_OK && strcmp(path, expected) != 0)
        printf("%s: %s, expected %s\n", name, path, expected);
    CU_ASSERT(status == SW_OK && strcmp(path, expected) == 0);
    if (note && !(notes.text && strstr(notes.text, note)))
        printf("%s: notes '%s', expected '%s'\n", name, notes.text ? notes.text : "", note);
    CU_ASSERT(note ? notes.text && strstr(notes.text, note) : notes.length == 0);
    free(path);
    sw_strbuf_free(&notes);
}

static void refuses(const char *name, enum sw_status expected, const char *message)
{
    struct sw_strbuf notes = {0};
    char *path;
    CU_ASSERT_EQUAL(sw_model_name_find(name, &path, &notes), expected);
    CU_ASSERT_PTR_NULL(path);
    if (!strstr(sw_error_message(), message))
        printf("%s: '%s', expected '%s'\n", name, sw_error_message(), message);
    CU_ASSERT(strstr(sw_error_message(), message) != NULL);
    sw_strbuf_free(&notes);
}

static void set_up(void)
{
    if (!mkdtemp(folder) || chdir(folder) != 0)
        abort();
    setenv("HOME", folder, 1);
    setenv("HF_HUB_CACHE", "hub", 1);
    setenv("OLLAMA_MODELS", "store", 1);
}

static void tear_down(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    CU_ASSERT_EQUAL(chdir("/"), 0);
    run(command);
}

static void folders(void)
{
    put("plain/config.json", "{}");
    put("plain/x.gguf", "GGUF");
    put("one/a.Q4_1.gguf", "GGUF");
    put("one/README.md", "");
    put("split/m-00002-of-00003.gguf", "GGUF");
    put("split/m-00001-of-00003.gguf", "GGUF");
    put("split/m-00003-of-00003.gguf", "GGUF");
    put("headless/m-00002-of-00002.gguf", "GGUF");
    put("two/b.gguf", "GGUF");
    put("two/m-00002-of-00002.gguf", "GGUF");
    put("two/m-00001-of-00002.gguf", "GGUF");
    put("two/a.gguf", "GGUF");
    put("none/README.md", "");
    put("many/0.gguf", "GGUF");
    run("for i in 1 2 3 4 5 6 7 8 9; do cp many/0.gguf many/$i.gguf; done");
    finds("plain", "plain", NULL);
    finds("plain/x.gguf", "plain/x.gguf", NULL);
    finds("one", "one/a.Q4_1.gguf", NULL);
    finds("split", "split/m-00001-of-00003.gguf", NULL);
    finds("headless", "headless/m-00001-of-00002.gguf", NULL); /* opening it says what is missing */
    finds("none", "none", NULL);
    refuses("two", SW_EINPUT, "give the path of one: a.gguf, b.gguf, m-00001-of-00002.gguf");
    refuses("many", SW_EINPUT, "6.gguf, 7.gguf, …");
    refuses("./absent", SW_EINPUT, "./absent: no such folder or file; MODEL is");
    run("ln -s nowhere dangling");
    refuses("dangling", SW_EINPUT, "is a link to nowhere");
}

static void hub(void)
{
    put("hub/models--org--name/refs/main", COMMIT);
    put("hub/models--org--name/refs/v1", OTHER_COMMIT "\n");
    put("hub/models--org--name/refs/refs/pr/1", OTHER_COMMIT);
    put("hub/models--org--name/snapshots/" COMMIT "/config.json", "{}");
    put("hub/models--org--name/snapshots/" OTHER_COMMIT "/m.gguf", "GGUF");
    put("hub/models--gpt2/snapshots/" COMMIT "/config.json", "{}");
    put("hub/models--org--broken/refs/main", "../../..");
    put("hub/models--org--gone/refs/main", OTHER_COMMIT);
    put("hub/models--org--gone/snapshots/" COMMIT "/config.json", "{}");
    put("hub/datasets--org--nam/refs/main", COMMIT);
    finds("org/name", "hub/models--org--name/snapshots/" COMMIT, NULL);
    finds("org/name@main", "hub/models--org--name/snapshots/" COMMIT, NULL);
    finds("org/name@v1", "hub/models--org--name/snapshots/" OTHER_COMMIT "/m.gguf", NULL);
    finds("org/name@refs/pr/1", "hub/models--org--name/snapshots/" OTHER_COMMIT "/m.gguf", NULL);
    finds("org/name@" OTHER_COMMIT, "hub/models--org--name/snapshots/" OTHER_COMMIT "/m.gguf",
          NULL);
    finds("org/name@aaaaaaa", "hub/models--org--name/snapshots/" COMMIT, NULL);
    finds("gpt2", "hub/models--gpt2/snapshots/" COMMIT, NULL); /* without refs, the only one */
    refuses("org/name@v2", SW_EINPUT, "not this revision (v2)");
    refuses("org/broken", SW_EINPUT, "refs/main: does not name a commit");
    refuses("org/gone", SW_EINPUT, "not this revision (" OTHER_COMMIT ")");
    refuses("org/nam", SW_EINPUT,
            "no such model in the Hugging Face cache hub (by HF_HUB_CACHE); nearest there: "
            "org/name");
    refuses("org/name@../../x", SW_EINPUT, "no such folder or file; MODEL");
    refuses("a/b/c", SW_EINPUT, "no such folder or file; MODEL");
    put("org/name/config.json", "{}"); /* a local folder goes first */
    finds("org/name", "org/name", NULL);
    run("rm -r org");
    unsetenv("HF_HUB_CACHE");
    unsetenv("HUGGINGFACE_HUB_CACHE");
    setenv("HF_HOME", folder, 1);
    char path[200];
    snprintf(path, sizeof path, "%s/hub/models--gpt2/snapshots/" COMMIT, folder);
    finds("gpt2", path, NULL);
    unsetenv("HF_HOME");
    setenv("XDG_CACHE_HOME", "cache", 1);
    refuses("gpt2", SW_EINPUT, "cache/huggingface/hub (by XDG_CACHE_HOME)");
    unsetenv("XDG_CACHE_HOME");
    refuses("gpt2", SW_EINPUT, "/.cache/huggingface/hub (by HOME)");
    unsetenv("HOME");
    refuses("gpt2", SW_EINPUT, "neither HF_HOME nor HOME is set");
    setenv("HOME", folder, 1);
    setenv("HF_HUB_CACHE", "hub", 1);
}

static void ollama(void)
{
    static const char model[] = LAYER("model", "sha256:" DIGEST, "4");
    static const char library[] = "store/manifests/registry.ollama.ai/library/";
    char path[300], text[2000];
    put("store/blobs/sha256-" DIGEST, "GGUF");
    snprintf(path, sizeof path, "%stiny/latest", library);
    snprintf(text, sizeof text, "{\"schemaVersion\": 2, \"layers\": [%s]}", model);
    put(path, text);
    put("store/manifests/registry.ollama.ai/someone/tiny/q4", text);
    put("store/manifests/hf.co/org/Repo-GGUF/Q4_K_M", text);
    finds("ollama:tiny", "store/blobs/sha256-" DIGEST, NULL);
    finds("ollama:tiny:latest", "store/blobs/sha256-" DIGEST, NULL);
    finds("ollama:someone/tiny:q4", "store/blobs/sha256-" DIGEST, NULL);
    finds("ollama:hf.co/org/Repo-GGUF:Q4_K_M", "store/blobs/sha256-" DIGEST, NULL);
    refuses("ollama:tiny:1b", SW_EINPUT,
            "no registry.ollama.ai/library/tiny:1b; looked in store; nearest there: "
            "tiny:latest, someone/tiny:q4, hf.co/org/Repo-GGUF:Q4_K_M");
    refuses("ollama:", SW_EINPUT, "is no name of Ollama's");
    refuses("ollama:../tiny", SW_EINPUT, "is no name of Ollama's");
    refuses("ollama:a/../tiny", SW_EINPUT, "is no name of Ollama's");
    refuses("ollama:tiny:a:b", SW_EINPUT, "is no name of Ollama's");

    snprintf(path, sizeof path, "%sparts/latest", library);
    snprintf(text, sizeof text, "{\"layers\": [%s, %s, %s, %s, %s, {\"mediaType\": 5}]}", model,
             LAYER("adapter", "sha256:x", "1"), LAYER("projector", "sha256:y", "1"),
             LAYER("system", "sha256:z", "1"), LAYER("params", "sha256-" DIGEST, "4"));
    put(path, text);
    finds("ollama:parts", "store/blobs/sha256-" DIGEST, "its adapter (LoRA) is not applied");
    finds("ollama:parts", "store/blobs/sha256-" DIGEST, "its projector is not used");
    finds("ollama:parts", "store/blobs/sha256-" DIGEST, "its system message is not used");
    snprintf(text, sizeof text, "{\"layers\": [%s, %s]}", model,
             LAYER("params",
                   "sha256:fedcba9876543210fedcba9876543210fedcba9876543210fedcba98765432"
                   "10",
                   "30"));
    put(path, text);
    put("store/blobs/sha256-fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210",
        "{\"stop\": [\"<|im_end|>\"]}");
    finds("ollama:parts", "store/blobs/sha256-" DIGEST, "stop texts, [\"<|im_end|>\"]");
}

/* Weights that are not there whole; the blob may be a link to another disk. */
static void ollama_blobs(void)
{
    run("cp store/blobs/sha256-" DIGEST " elsewhere; rm store/blobs/sha256-" DIGEST);
    refuses("ollama:tiny", SW_EINPUT, "its weights are not there: store/blobs/sha256-0123");
    put("store/blobs/sha256-" DIGEST "-partial", "GG");
    refuses("ollama:tiny", SW_EINPUT, "its download is not finished");
    run("ln -s ../../elsewhere store/blobs/sha256-" DIGEST);
    finds("ollama:tiny", "store/blobs/sha256-" DIGEST, NULL);
    put("elsewhere", "GG");
    refuses("ollama:tiny", SW_EINPUT, "has 2 bytes, but the manifest says 4");
    run("rm elsewhere");
    refuses("ollama:tiny", SW_EINPUT, "is a link to ../../elsewhere");
    unsetenv("OLLAMA_MODELS");
    refuses("ollama:tiny", SW_EINPUT, "/.ollama/models and /usr/share/ollama/.ollama/models");
    setenv("OLLAMA_MODELS", "store", 1);
}

static void manifests(void)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"", "not JSON"},
        {"{\"layers\": [", "not JSON"},
        {"[]", "no JSON object with a list"},
        {"{\"layers\": {}}", "no JSON object with a list"},
        {"{\"layers\": []}", "no layer of weights"},
        {"{\"layers\": [1, null, \"x\", {}]}", "no layer of weights"},
        {"{\"layers\": [" LAYER("model", "sha256:../../../etc/passwd", "4") "]}", "is no SHA-256"},
        {"{\"layers\": [" LAYER("model", "md5:" DIGEST, "4") "]}", "is no SHA-256"},
        {"{\"layers\": [" LAYER("model", "sha256:" DIGEST "0", "4") "]}", "is no SHA-256"},
        {"{\"layers\": [" LAYER("model", "sha256:" DIGEST, "-4") "]}", "has no size"},
        {"{\"layers\": [" LAYER("model", "sha256:" DIGEST, "\"4\"") "]}", "has no size"},
        {"{\"layers\": [" LAYER("model", "sha256:" DIGEST,
                                "4") ", " LAYER("model", "sha256:" DIGEST, "4") "]}",
         "several layers of weights"},
        {"{\"layers\": [" LAYER("tensor", "sha256:" DIGEST, "4") "]}", "no layer of weights"},
    };
    struct sw_ollama_manifest m;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CU_ASSERT_EQUAL(sw_ollama_manifest_read(rows[i].text, strlen(rows[i].text), &m), SW_EMODEL);
        if (!strstr(sw_error_message(), rows[i].message))
            printf("%s: %s\n", rows[i].text, sw_error_message());
        CU_ASSERT(strstr(sw_error_message(), rows[i].message) != NULL);
    }
    put("store/manifests/registry.ollama.ai/library/bad/latest", rows[1].text);
    refuses("ollama:bad", SW_EMODEL, "store/manifests/registry.ollama.ai/library/bad/latest: not");
}

SW_UNIT_TESTS({"set up", set_up}, {"folders", folders}, {"hub", hub}, {"ollama", ollama},
              {"blobs of ollama", ollama_blobs}, {"manifests", manifests}, {"tear down", tear_down})
