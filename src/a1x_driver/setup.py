from glob import glob

from setuptools import find_packages, setup

setup(
    name="a1x_driver",
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={"a1x_driver": ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/a1x_driver"]),
        ("share/a1x_driver", ["package.xml"]),
        ("share/a1x_driver/config", glob("config/*.yaml")),
    ],
    install_requires=["setuptools", "numpy"],
    extras_require={"test": ["hypothesis", "pytest", "pyyaml"]},  # colcon test then calls pytest
    zip_safe=True,
    maintainer="WorldSample maintainers",
    maintainer_email="worldsample@example.org",
    description="The real Galaxea A1X: limits, watchdog, reset, operator devices, stand-ins.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "driver_node = a1x_driver.driver_node:main",
            "teleop_node = a1x_driver.teleop_node:main",
            "standin_arm_node = a1x_driver.standin_arm_node:main",
            "standin_camera_node = a1x_driver.standin_camera_node:main",
            "standin_person_node = a1x_driver.standin_person_node:main",
        ],
    },
)
