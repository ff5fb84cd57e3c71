/* Owns the edit distance of words. */
#include "base/nearest_word.h"

#include <string.h>

int sw_word_distance(const char *a, const char *b)
{
    int row[128];
    const int n = (int)strlen(b);
    if (n >= 127)
        return 999;
    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            const int substitute = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            const int shift = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            row[j] = substitute < shift ? substitute : shift;
        }
    }
    return row[n];
}

void sw_nearest_try(struct sw_nearest *nearest, const char *word)
{
    const int distance = sw_word_distance(nearest->given, word);
    if (distance >= nearest->least)
        return;
    nearest->least = distance;
    nearest->best = word;
}
