/* Gives the service of a name an order by its number, which `sc control` does where it is complete, or, after the word start,
   the number of when it starts, as `sc config` does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

int main(int count, char **words)
{
    SC_HANDLE manager, service;
    SERVICE_STATUS status;
    BOOL done;
    if (count != 3 && !(count == 4 && !strcmp(words[2], "start"))) return 2;
    manager = OpenSCManagerA(NULL, NULL, SC_MANAGER_CONNECT);
    service = OpenServiceA(manager, words[1], SERVICE_ALL_ACCESS);
    done = count == 3 ? ControlService(service, atoi(words[2]), &status)
        : ChangeServiceConfigA(service, SERVICE_NO_CHANGE, atoi(words[3]), SERVICE_NO_CHANGE, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    if (!done) {
        printf("error %lu\n", GetLastError());
        return 1;
    }
    return 0;
}
