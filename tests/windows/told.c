/* Says where it lies, which proxy it was told, and its arguments. */
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

int main(int count, char **words)
{
    char file[MAX_PATH];
    const char *proxy = getenv("http_proxy");

    GetModuleFileNameA(NULL, file, sizeof file);
    printf("%s %s", file, proxy ? proxy : "none");
    for (int at = 1; at < count; at++)
        printf(" <%s>", words[at]);
    printf("\n");
    return 9;
}
