/*
 * Runs a fuzz target over the files of a folder (its corpus) once each, when the build has no
 * libFuzzer. Fails when the folder is missing or empty.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
    int n = 0;
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        if (!dir) {
            fprintf(stderr, "%s: no such folder\n", argv[i]);
            return 1;
        }
        for (struct dirent *entry; (entry = readdir(dir));) {
            char path[4096];
            if (entry->d_name[0] == '.')
                continue;
            snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
            FILE *f = fopen(path, "rb");
            if (!f)
                continue;
            static uint8_t data[16 << 20];
            const size_t size = fread(data, 1, sizeof data, f);
            fclose(f);
            /* An exact allocation, so that a sanitizer sees a read past the end. */
            uint8_t *copy = malloc(size ? size : 1);
            if (!copy)
                return 1;
            for (size_t k = 0; k < size; k++)
                copy[k] = data[k];
            LLVMFuzzerTestOneInput(copy, size);
            free(copy);
            n++;
        }
        closedir(dir);
    }
    printf("replayed %d inputs\n", n);
    return n > 0 ? 0 : 1;
}
