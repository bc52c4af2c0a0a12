from glob import glob

from setuptools import find_packages, setup

setup(
    name="a1x_sim",
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={"a1x_sim": ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/a1x_sim"]),
        ("share/a1x_sim", ["package.xml"]),
        ("share/a1x_sim/urdf", glob("urdf/*.urdf")),
    ],
    install_requires=["setuptools", "mujoco", "numpy"],
    extras_require={
        "optional": ["gymnasium"],  # a1x_sim.gymnasium_env
        "test": ["hypothesis", "pytest", "pyyaml"],  # colcon test then calls pytest
    },
    zip_safe=True,
    maintainer="WorldSample maintainers",
    maintainer_email="worldsample@example.org",
    description="MuJoCo cell of the Galaxea A1X with the same topics as the real one.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": ["sim_node = a1x_sim.sim_node:main", "operator_node = a1x_sim.operator_node:main"],
    },
)
