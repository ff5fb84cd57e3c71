/*
 * Every key of every family's config.json with every type of value that it might have by mistake:
 * each is read or refused with a message that is whole, whatever lay on the stack before.
 */
#include "base/json.h"
#include "model/model.h"
#include "unit.h"

#include <dirent.h>
#include <jansson.h>

static const char *const values[] = {
    "null", "true", "-1",    "0",  "3.5", "1e30", "99999999999999999999",
    "NaN",  "\"\"", "\"x\"", "[]", "[5]", "{}",   "{\"rope_type\": 5}"};
enum { N_VALUES = sizeof values / sizeof values[0] };

/* What a call leaves behind on the stack is no address and no text. */
static void __attribute__((noinline)) soil_the_stack(void)
{
    volatile unsigned char bytes[16384];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = 0xAA;
}

/* The config with a member's value replaced by one that is spelled out. */
static char *config_with(const json_t *root, const char *key, const char *value)
{
    json_t *copy = json_copy((json_t *)(uintptr_t)root);
    json_object_set_new(copy, key, json_string("@VALUE@"));
    char *text = json_dumps(copy, 0), *json = NULL;
    char *mark = strstr(text, "\"@VALUE@\"");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mark);
    *mark = '\0';
    CU_ASSERT_FATAL(asprintf(&json, "%s%s%s", text, value, mark + strlen("\"@VALUE@\"")) > 0);
    json_decref(copy);
    free(text);
    return json;
}

static void parse_with(const json_t *root, const char *key, const char *value, int *refused)
{
    struct sw_model *model = NULL;
    char *json = config_with(root, key, value);
    soil_the_stack();
    const enum sw_status status = sw_model_parse(json, strlen(json), "c.json", &model);
    CU_ASSERT_TRUE(status == SW_OK || status == SW_EMODEL);
    CU_ASSERT_EQUAL(status == SW_OK, model != NULL);
    if (status != SW_OK) {
        const char *message = sw_error_message();
        ++*refused;
        CU_ASSERT_PTR_NOT_NULL(strstr(message, "c.json"));
        for (const char *c = message; *c; c++)
            CU_ASSERT_TRUE(*c >= ' ' && *c <= '~');
    }
    sw_model_close(model);
    free(json);
}

static void every_key_takes_every_type(void)
{
    int families = 0, refused = 0;
    DIR *dir = opendir(SW_SOURCE_DIR "/tests/models/tiny");
    CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
    for (const struct dirent *e; (e = readdir(dir));) {
        char path[4096];
        const char *key;
        json_t *value;
        snprintf(path, sizeof path, "%s/tests/models/tiny/%s/config.json", SW_SOURCE_DIR,
                 e->d_name);
        json_t *root = e->d_name[0] == '.' ? NULL : json_load_file(path, 0, NULL);
        if (!root)
            continue;
        families++;
        json_object_foreach(root, key, value) for (int v = 0; v < N_VALUES; v++)
            parse_with(root, key, values[v], &refused);
        json_decref(root);
    }
    closedir(dir);
    CU_ASSERT_TRUE(families >= 20);
    CU_ASSERT_TRUE(refused > 1000);
}

SW_UNIT_TESTS({"every key takes every type", every_key_takes_every_type})
