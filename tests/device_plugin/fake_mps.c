/* The program nvidia-cuda-mps-control of a node whose MPS daemon is well: it takes every command. */
#include <stdio.h>

int main(void) {
    while (getchar() != EOF)
        ;
    return 0;
}
