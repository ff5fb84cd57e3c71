/* Which paths are one file, found by links of both kinds, names not there yet and folders. */
#include "base/file_set.h"
#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/sw-file-set-XXXXXX";

static void make(const char *name)
{
    const int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0 || close(fd) != 0)
        abort();
}

/* The files: read "in", all of "model"; a hard link, links to what is there and what is not. */
static void set_up(void)
{
    if (!mkdtemp(folder) || chdir(folder) != 0 || mkdir("model", 0777) != 0 ||
        mkdir("blobs", 0777) != 0 || mkfifo("pipe", 0666) != 0)
        abort();
    make("in");
    make("model/config.json");
    make("blobs/weights");
    make("other");
    if (symlink("../blobs/weights", "model/model.safetensors") != 0 || link("in", "hard") != 0 ||
        symlink("in", "soft") != 0 || symlink("new", "to-new") != 0 ||
        symlink("to-new", "to-to-new") != 0 || symlink("round", "round") != 0)
        abort();
}

static void written_is_not_read(void)
{
    static const struct {
        const char *path;
        enum sw_status status;
        const char *words;
    } rows[] = {{"in", SW_EUSAGE, "in and in: IN and --metrics are the same file"},
                {"./model/../in", SW_EUSAGE, "IN and --metrics"},
                {"hard", SW_EUSAGE, "in and hard: IN and --metrics"},
                {"soft", SW_EUSAGE, "in and soft: IN and --metrics"},
                {"model/config.json", SW_EUSAGE, "MODEL's files and --metrics"},
                {"model/model.safetensors", SW_EUSAGE, "MODEL's files and --metrics"},
                {"blobs/weights", SW_EUSAGE, "MODEL's files and --metrics"},
                {"new", SW_EUSAGE, "new and new: OUT and --metrics"},
                {"blobs/../new", SW_EUSAGE, "OUT and --metrics"},
                {"to-new", SW_EUSAGE, "OUT and --metrics"},
                {"to-to-new", SW_EUSAGE, "OUT and --metrics"},
                {"pipe", SW_EUSAGE, "--metrics is a pipe, not a regular file"},
                {"model", SW_EUSAGE, "is a folder, not a regular file"},
                {"other", SW_OK, ""},
                {"newer", SW_OK, ""},
                {"model/new", SW_OK, ""},
                {"/dev/null", SW_OK, ""},
                {"round", SW_OK, ""},
                {"no/such/folder", SW_OK, ""}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sw_file_set set = {0};
        sw_error_clear();
        CU_ASSERT_EQUAL(sw_file_set_read(&set, "IN", "in"), SW_OK);
        CU_ASSERT_EQUAL(sw_file_set_read(&set, "IN again", "soft"), SW_OK);
        CU_ASSERT_EQUAL(sw_file_set_read_folder(&set, "MODEL's files", "model"), SW_OK);
        CU_ASSERT_EQUAL(sw_file_set_read_folder(&set, "nothing", "no/such/folder"), SW_OK);
        CU_ASSERT_EQUAL(sw_file_set_write(&set, "OUT", "new"), SW_OK);
        CU_ASSERT_EQUAL(sw_file_set_write(&set, "--timeline", NULL), SW_OK);
        const enum sw_status status = sw_file_set_write(&set, "--metrics", rows[i].path);
        CU_ASSERT_EQUAL(status, rows[i].status);
        CU_ASSERT(strstr(sw_error_message(), rows[i].words) != NULL);
        if (status != rows[i].status || !strstr(sw_error_message(), rows[i].words))
            printf("    %s: %s\n", rows[i].path, sw_error_message());
        sw_file_set_free(&set);
    }
}

static void tear_down(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    CU_ASSERT(chdir("/") == 0 && system(command) == 0);
}

SW_UNIT_TESTS({"set up", set_up}, {"what is written is not read", written_is_not_read},
              {"tear down", tear_down})
