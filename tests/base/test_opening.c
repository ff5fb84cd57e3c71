/* What is absent, what is no file, what may not be read: three answers, and nothing waits. */
#include "base/file.h"
#include "unit.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];

static const char *at(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void make_folder(void)
{
    snprintf(folder, sizeof folder, "/tmp/spillway-opening-XXXXXX");
    if (!mkdtemp(folder))
        abort();
    FILE *f = fopen(at("file"), "w");
    if (!f || fputs("four", f) < 0 || fclose(f) != 0)
        abort();
}

static void remove_folder(void)
{
    static const char *const names[] = {"file", "fifo", "socket", "dangling", "circle"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        remove(at(names[i]));
    rmdir(folder);
}

static void expect_message(const char *text)
{
    if (!strstr(sw_error_message(), text))
        printf("\n    got: %s\n    not: %s\n", sw_error_message(), text);
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), text));
}

static void expect_open(const char *path, enum sw_status status, const char *text)
{
    int fd = 0;
    alarm(100); /* ends the test should anything wait */
    CU_ASSERT_EQUAL(sw_file_open(path, &fd, NULL), status);
    CU_ASSERT_EQUAL(fd, -1);
    expect_message(path);
    expect_message(text);
    alarm(0);
}

static void absence_is_no_failure(void)
{
    enum sw_file_kind kind = SW_FILE_OTHER;
    char *bytes = folder;
    size_t n = 1;
    int fd = 0;
    make_folder();
    CU_ASSERT_EQUAL(sw_file_find(at("nothing"), &kind), SW_OK);
    CU_ASSERT_EQUAL(kind, SW_FILE_ABSENT);
    CU_ASSERT_EQUAL(sw_file_open_optional(at("nothing"), &fd, NULL), SW_OK);
    CU_ASSERT_EQUAL(fd, -1);
    CU_ASSERT_EQUAL(sw_file_read_optional(at("file/below"), 9, &bytes, &n), SW_OK);
    CU_ASSERT_PTR_NULL(bytes);
    CU_ASSERT_EQUAL(n, 0);
    expect_open(at("nothing"), SW_EINPUT, "cannot be opened: No such file");
    remove_folder();
}

static void files_are_read(void)
{
    enum sw_file_kind kind = SW_FILE_ABSENT;
    uint64_t size = 0;
    char *bytes;
    size_t n;
    int fd;
    make_folder();
    CU_ASSERT_EQUAL(sw_file_find(at("file"), &kind), SW_OK);
    CU_ASSERT_EQUAL(kind, SW_FILE_REGULAR);
    CU_ASSERT_EQUAL(sw_file_open(at("file"), &fd, &size), SW_OK);
    CU_ASSERT_EQUAL(size, 4);
    close(fd);
    CU_ASSERT_EQUAL(sw_file_read(at("file"), 4, &bytes, &n), SW_OK);
    CU_ASSERT_STRING_EQUAL(bytes, "four");
    free(bytes);
    CU_ASSERT_EQUAL(sw_file_read(at("file"), 3, &bytes, &n), SW_EINPUT);
    CU_ASSERT_EQUAL(sw_file_read_kernel("/proc/self/status", 4096, &bytes, &n), SW_OK);
    CU_ASSERT(n > 100 && strncmp(bytes, "Name:", 5) == 0);
    free(bytes);
    remove_folder();
}

static void what_is_no_file_is_refused_at_once(void)
{
    enum sw_file_kind kind = SW_FILE_ABSENT;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    make_folder();
    if (mkfifo(at("fifo"), 0600) != 0)
        abort();
    snprintf(address.sun_path, sizeof address.sun_path, "%.90s", at("socket"));
    const int s = socket(AF_UNIX, SOCK_STREAM, 0);
    if (s < 0 || bind(s, (const struct sockaddr *)&address, sizeof address) != 0)
        abort();
    expect_open(at("fifo"), SW_EINPUT, "is a FIFO");
    expect_open(at("socket"), SW_EINPUT, "is a socket, not a regular file");
    expect_open(folder, SW_EINPUT, "is a directory");
    expect_open("/dev/zero", SW_EINPUT, "is a device");
    CU_ASSERT_EQUAL(sw_file_find(at("fifo"), &kind), SW_OK);
    CU_ASSERT_EQUAL(kind, SW_FILE_OTHER);
    CU_ASSERT_EQUAL(sw_file_find(folder, &kind), SW_OK);
    CU_ASSERT_EQUAL(kind, SW_FILE_DIRECTORY);
    close(s);
    remove_folder();
}

static void dangling_links_are_refused(void)
{
    enum sw_file_kind kind;
    int fd;
    make_folder();
    if (symlink("../blobs/1234", at("dangling")) != 0 || symlink("circle", at("circle")) != 0)
        abort();
    expect_open(at("dangling"), SW_EINPUT, "is a link to ../blobs/1234, which does not exist");
    expect_open(at("circle"), SW_EINPUT, "links form a loop");
    CU_ASSERT_EQUAL(sw_file_find(at("dangling"), &kind), SW_EINPUT);
    CU_ASSERT_EQUAL(sw_file_open_optional(at("dangling"), &fd, NULL), SW_EINPUT);
    remove_folder();
}

/* Root may read everything, so somebody else looks. */
static void what_may_not_be_read_is_there(void)
{
    make_folder();
    const pid_t child = fork();
    if (child == 0) {
        enum sw_file_kind kind;
        int fd;
        if (geteuid() == 0 ? seteuid(65534) != 0 : chmod(folder, 0) != 0)
            _exit(9);
        if (sw_file_find(at("file"), &kind) != SW_EINPUT)
            _exit(1);
        if (sw_file_open_optional(at("nothing"), &fd, NULL) != SW_EINPUT)
            _exit(2);
        if (!strstr(sw_error_message(), "nothing: cannot be opened: Permission denied"))
            _exit(3);
        _exit(0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    CU_ASSERT_EQUAL(status, 0);
    chmod(folder, 0700);
    remove_folder();
}

static void too_many_open_files_are_no_absence(void)
{
    int fd;
    make_folder();
    const pid_t child = fork();
    if (child == 0) {
        const struct rlimit few = {16, 16};
        if (setrlimit(RLIMIT_NOFILE, &few) != 0)
            _exit(9);
        while (dup(0) >= 0) {
        }
        _exit(sw_file_open_optional(at("file"), &fd, NULL) == SW_EIO &&
                      strstr(sw_error_message(), "ulimit -n")
                  ? 0
                  : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    CU_ASSERT_EQUAL(status, 0);
    remove_folder();
}

SW_UNIT_TESTS({"absence is no failure", absence_is_no_failure}, {"files are read", files_are_read},
              {"what is no file is refused at once", what_is_no_file_is_refused_at_once},
              {"dangling links are refused", dangling_links_are_refused},
              {"what may not be read is there", what_may_not_be_read_is_there},
              {"too many open files are no absence", too_many_open_files_are_no_absence})
