"""What scripts/simulate_device.py is made of: houses with heat pumps, and the devices that measure them.

Python 3.8 or newer and paho-mqtt 1.6 or 2.x, nothing else: both are copied to any machine. They share no formula
with the project's own physics, else a wrong one would confirm itself. Each module knows only those above it:

    times, noise, console     instants and lengths; repeatable noise; what is said to people
    refrigerant, weather      pressures; the air outdoors
    profiles, changes         what stands where; faults and events, and when
    house, heat_pump          where heat goes; what the machine does and takes
    row, device               what is measured of it, and the message that says so
    tables, backfill          CSV; history by the import path
    connection, publish       MQTT; the pace of publishing
    options                   the command line, and the devices it asks for
"""
