/* Owns the judgement whether reading ahead pays. */
#include "engine/look_ahead.h"

bool sw_look_ahead_wanted(struct sw_look_ahead *l)
{
    return l->choices++ % SW_LOOK_AHEAD_EACH == 0 || l->is_on;
}

/* With a share p right, reading takes R and the disk has I for it: p * I is gained, (1 - p) * (R -
 * I) is lost. */
void sw_look_ahead_judge(struct sw_look_ahead *l, int right, int wrong, double idle, double each)
{
    if (right + wrong == 0)
        return;
    if (l->is_on) {
        l->read_right += right;
        l->read_wrong += wrong;
    }
    l->right += right;
    l->wrong += wrong;
    l->idle += idle;
    const double n = (double)(l->right + l->wrong), reading = n * each;
    if (n < SW_LOOK_AHEAD_JUDGED)
        return;
    const double least = reading > l->idle ? 1 - l->idle / reading : 0;
    l->is_on = (double)l->right > (least + SW_LOOK_AHEAD_MARGIN) * n;
    l->right = l->wrong = 0;
    l->idle = 0;
}
