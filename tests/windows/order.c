/* Gives the service of a name an order by its number, which `sc control` does where it is complete. */
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

int main(int count, char **words)
{
    SC_HANDLE manager, service;
    SERVICE_STATUS status;
    if (count != 3) return 2;
    manager = OpenSCManagerA(NULL, NULL, SC_MANAGER_CONNECT);
    service = OpenServiceA(manager, words[1], SERVICE_ALL_ACCESS);
    if (!service || !ControlService(service, atoi(words[2]), &status)) {
        printf("error %lu\n", GetLastError());
        return 1;
    }
    return 0;
}
